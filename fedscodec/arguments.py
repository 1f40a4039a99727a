"""Check the types of arguments of the library: a number given as a text, or None, is refused in one sentence.

Numbers of numpy are numbers; True and False are not.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from .errors import FedsError


def require_number(name: str, value: Any) -> None:
    """Raise FedsError unless the value is a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise FedsError(f"{name}: expected a number, found {value!r}")
    try:
        float(value)
    except OverflowError:
        raise FedsError(f"{name}: expected a number, found one of more than 300 digits") from None


def require_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raise FedsError unless the value is a whole number from `least` to `most` (None: any above)."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        range_ = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise FedsError(f"{name}: expected a whole number {range_}, found {value!r}")

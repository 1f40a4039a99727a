"""Packages that reports need."""

from __future__ import annotations

from importlib.util import find_spec

_MODULES = ("jinja2", "bjontegaard")


def missing() -> str | None:
    """A sentence on the packages that are not installed, or None."""
    absent = [name for name in _MODULES if find_spec(name) is None]
    return f"reports need {' and '.join(absent)}: pip install 'fedscodec[bench]'" if absent else None

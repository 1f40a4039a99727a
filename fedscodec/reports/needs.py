"""What reports need beside the package itself."""

from __future__ import annotations

from importlib.util import find_spec

_MODULES = ("jinja2", "bjontegaard")


def missing() -> str | None:
    """A sentence on what is not installed, or None."""
    absent = [name for name in _MODULES if find_spec(name) is None]
    return f"reports need {' and '.join(absent)}: pip install 'fedscodec[bench]'" if absent else None

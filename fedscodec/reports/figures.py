"""Write figures for people."""

from __future__ import annotations


def signed(value: float, form: str = ".1f") -> str:
    """A value with its sign, a true minus sign for negative ones; form: as in an f-string, after the `+`."""
    return f"{value:+{form}}".replace("-", "−")


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def in_seconds(value: float) -> str:
    """A time in words: 250 ms, 1.2 s."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"

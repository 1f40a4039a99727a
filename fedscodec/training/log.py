"""Reports of a run: values, a log of JSON lines, and a line for the progress display."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files.outputs import errors_as_sentences
from .recipe import Recipe

FIGURES = ("loss", "bpp", "psnr", "rate")
"""What the curve of a run draws over its minutes; each is a number, or None where it was not finite."""


@dataclass(frozen=True)
class Report:
    """The progress of a run; loss, bpp, PSNR and what was learned are means since the last report."""

    step: int
    minutes: float
    minutes_left: float
    progress: float  # 0..1 of the run
    phase: str
    loss: float
    bpp: float
    psnr: float
    rate: float  # share of the peak learning rate
    pixels_per_second: float
    skipped: int  # steps dropped because their gradient was not finite
    learned: dict[str, float] = field(default_factory=dict)  # parts of L_KD, before their weights
    pixels: int = 0  # seen so far, in the runs that this one goes on from too

    def __str__(self) -> str:
        """A line of text."""
        parts = "".join(f", {name} {value:.4g}" for name, value in self.learned.items())
        dropped = f", {self.skipped} skipped" if self.skipped else ""
        return (
            f"{self.phase} step {self.step}: loss {self.loss:.3f}, {self.bpp:.3f} bpp, {self.psnr:.2f} dB{parts}, "
            f"{self.pixels_per_second / 1000:.0f} kpx/s{dropped}, {minutes_and_seconds(self.minutes_left)} left"
        )


def minutes_and_seconds(minutes: float) -> str:
    """0.5 → 0:30, 75 → 1:15:00; an unknown time is a question mark."""
    if not math.isfinite(minutes):
        return "?"
    seconds = round(60 * max(minutes, 0.0))
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def json_log(path: Path, recipe: Recipe, *, resumed: int | None = None) -> Callable[[Report], None]:
    """A sink that appends each report to a JSON-lines file, after a first line with the recipe. Raises OutputError.

    resumed: the step from which a run continues; its log is then kept and gets another such line.
    """
    first: dict[str, Any] = {"recipe": asdict(recipe)}
    with errors_as_sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = resumed is not None and path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
        with path.open("w" if resumed is None else "a") as log:
            log.write("\n" * torn + json.dumps(first if resumed is None else {**first, "resumed": resumed}) + "\n")

    def tell(report: Report) -> None:
        row = {k: _plain(v) for k, v in asdict(report).items()}
        with errors_as_sentences(path), path.open("a") as log:
            log.write(json.dumps(row) + "\n")

    return tell


def read_log(path: Path) -> list[dict[str, Any]]:
    """The reports in such a log, without the lines that are none, or that a crash or a full disk has torn.

    Nor does it return what a run did after the step from which it continued.
    """
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, RecursionError):
            row = json.loads(line)
            if _is_report(row):
                rows.append(row)
            elif isinstance(row, dict) and _is_number(step := row.get("resumed")):
                rows = [row for row in rows if row["step"] <= step]
    return rows


def _is_report(row: Any) -> bool:
    """Whether a line has all that the curve draws."""
    if not isinstance(row, dict) or not all(_is_number(row.get(name)) for name in ("step", "minutes")):
        return False
    figures = all(name in row and (row[name] is None or _is_number(row[name])) for name in FIGURES)
    return figures and str(row.get("phase", "")).isprintable()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e300 < value < 1e300  # so that a difference of two is finite as well


def _plain(value: object) -> object:
    """A number for strict JSON: rounded, or None if it is not finite."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if not isinstance(value, float):
        return value
    return round(value, 5) if math.isfinite(value) else None

"""Draw the training curve: SVG from the JSON-lines log."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

Row = dict[str, float]

WIDTH, HEIGHT, LEFT, GAP = 720, 150, 64, 34
PANELS: tuple[tuple[str, str], ...] = (
    ("loss", "loss"), ("bpp", "bits per pixel"), ("psnr", "PSNR, dB"), ("rate", "learning rate, of its peak"),
)  # fmt: skip


def read_log(path: Path) -> list[Row]:
    """The reports of a log; skips lines that are not reports."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [row for row in rows if "step" in row]


def curve(rows: Sequence[Row], title: str) -> str:
    """An SVG of loss, bpp, PSNR and learning rate over the minutes of a run, with a line where the phase changes."""
    panels = [_panel(rows, name, label, GAP + number * (HEIGHT + GAP)) for number, (name, label) in enumerate(PANELS)]
    height = GAP + len(PANELS) * (HEIGHT + GAP) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="11">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
        f'<text x="{LEFT}" y="16" font-size="13">{escape(title)}</text>\n' + "".join(panels) + "</svg>\n"
    )


def _panel(rows: Sequence[Row], name: str, label: str, top: int) -> str:
    points = [(row["minutes"], row[name]) for row in rows if row.get(name) is not None]
    frame = (
        f'<text x="{LEFT}" y="{top - 4}" fill="#555">{escape(label)}</text>\n'
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 12}" height="{HEIGHT}" fill="none" stroke="#ccc"/>\n'
    )
    if not points:
        return frame
    across = _scale([x for x, _ in points], LEFT, WIDTH - 12)
    upwards = _scale([y for _, y in points], top + HEIGHT - 6, top + 6)
    line = " ".join(f"{across(x):.1f},{upwards(y):.1f}" for x, y in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    return (
        frame
        + "".join(_tick(value, upwards(value)) for value in sorted({low, high}))
        + "".join(_phase(row, across(row["minutes"]), top) for row in _changes(rows))
        + f'<polyline points="{line}" fill="none" stroke="#1660a8" stroke-width="1.5"/>\n'
        + f'<text x="{WIDTH - 12}" y="{top + HEIGHT + 13}" text-anchor="end" fill="#555">'
        + f"{max(x for x, _ in points):.3g} min</text>\n"
    )


def _scale(values: Sequence[float], first: float, last: float) -> Callable[[float], float]:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: first + (value - low) / span * (last - first)


def _tick(value: float, y: float) -> str:
    return f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:.4g}</text>\n'


def _changes(rows: Sequence[Row]) -> list[Row]:
    """The first report of every phase but the first."""
    return [row for before, row in zip(rows, rows[1:], strict=False) if row.get("phase") != before.get("phase")]


def _phase(row: Row, x: float, top: int) -> str:
    name = escape(str(row.get("phase", "")))
    return (
        f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{top + HEIGHT}" stroke="#bbb" stroke-dasharray="3 3"/>\n'
        f'<text x="{x + 3:.1f}" y="{top + 12}" fill="#999">{name}</text>\n'
    )

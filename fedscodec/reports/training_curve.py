"""The curve of a training run: loss, bits, PSNR and learning rate over its minutes, from the reports in its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import fmean as mean
from typing import Any

from .axes import FAINT, PEERS, ticks
from .charts import grid, opened, polyline
from .layout import WIDTH, Plane, Point
from .plots import alone

PANELS = {"loss": "loss", "bpp": "bits per pixel", "psnr": "PSNR, dB", "rate": "rate / its peak"}
"""Figures of a report, and what stands beside their panels; the learning rate is a share of its peak."""

LEFT, TOP, TALL, GAP = 76, 40, 120, 20
HEIGHT = TOP + len(PANELS) * (TALL + GAP) + 40

Row = Mapping[str, Any]


def training_curve(rows: Sequence[Row], title: str) -> bytes:
    """An SVG file of a run's reports (`training.log.Report` as dicts), with a line where a phase begins."""
    minutes = (0.0, max((row["minutes"] for row in rows), default=0.0) or 1.0)
    drawn = [
        opened("training", f"Training curve of {title}", HEIGHT),
        f'<text class="name" x="{LEFT}" y="16">{escape(title)}</text>',
    ]
    for number, name in enumerate(PANELS):
        top = TOP + number * (TALL + GAP)
        drawn += _panel(rows, name, minutes, top, is_last=number == len(PANELS) - 1)
    return alone("\n".join([*drawn, "</svg>"]))


def _panel(rows: Sequence[Row], name: str, minutes: tuple[float, float], top: float, *, is_last: bool) -> list[str]:
    points = [(row["minutes"], row[name]) for row in rows if row.get(name) is not None]
    low, high = min((y for _, y in points), default=0.0), max((y for _, y in points), default=1.0)
    room = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    plane = Plane(minutes, (low - room, high + room), left=LEFT, right=WIDTH - 24, top=top, bottom=top + TALL)
    across = {value: f"{value:g}" if is_last else "" for value in ticks(*minutes, 10)}
    upwards = {value: f"{value:g}" for value in ticks(*plane.y, 4)}
    drawn = grid(plane, across, upwards, ("minutes" if is_last else "", PANELS[name]))
    for before, row in zip(rows, rows[1:], strict=False):
        if row.get("phase") != before.get("phase"):
            x, words = f"{plane.across(row['minutes']):.1f}", escape(str(row.get("phase", "")))
            drawn.append(f'<line class="phase" x1="{x}" x2="{x}" y1="{plane.top}" y2="{plane.bottom}"/>')
            drawn.append(f'<text class="tick" x="{x}" dx="4" y="{plane.top + 12}">{words}</text>')
    if not points:
        return drawn
    if name == "rate":
        return [*drawn, polyline(plane, points, PEERS[0])]
    return [*drawn, polyline(plane, points, FAINT), polyline(plane, _smooth(points), PEERS[0])]


def _smooth(points: Sequence[Point]) -> list[Point]:
    """Means of each point and its neighbours, of a twentieth of all: single batches differ too much to show a trend."""
    reach = len(points) // 40
    parts = [points[max(at - reach, 0) : at + reach + 1] for at in range(len(points))]
    return [(x, mean(y for _, y in part)) for (x, _), part in zip(points, parts, strict=True)]

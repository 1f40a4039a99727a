"""Write docs/learning.md and docs/learning.svg: the BD-rate of every run, over the pixels that it had seen.

    python tools/draw_learning.py

Rows come from the tables of weights/TRAINING.md (weights, start, pixels seen, BD-rate); a row whose start is not fresh
continues the row below it. docs/learning.json has the results of others and what we expected.
"""

from __future__ import annotations

import json
import math
import re
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
NOTES, POINTS = ROOT / "weights" / "TRAINING.md", ROOT / "docs" / "learning.json"
PAGE, PICTURE = ROOT / "docs" / "learning.md", ROOT / "docs" / "learning.svg"
UNITS = {"million": 1e-3, "gigapixels": 1.0, "billion": 1.0}
LEFT, TOP, WIDTH, HEIGHT, MARGIN = 64, 20, 640, 400, 230
COLOURS = ("#e8590c", "#ae3ec9", "#1c7ed6", "#2b8a3e", "#0c8599", "#7a7f85", "#846358", "#5f3dc4")


class Run(NamedTuple):
    """A row of TRAINING.md: gigapixels in all, BD-rate over VTM-9.1 in percent."""

    network: str
    fingerprint: str
    pixels: float
    rate: float


def runs(text: str) -> list[Run]:
    """Every run that has pixels and a BD-rate, from the oldest on."""
    found: list[Run] = []
    for section in reversed(re.split(r"^## ", text, flags=re.M)):
        cells = dict(re.findall(r"^\| ([\w-]+(?: [\w-]+)*) \| (.+) \|$", section, flags=re.M))
        if not {"weights", "start", "pixels seen", "BD-rate"} <= cells.keys():
            continue
        number, unit = re.match(r"([\d.,]+) (\w+)", cells["pixels seen"]).groups()  # type: ignore[union-attr]
        pixels = float(number.replace(",", "")) * UNITS[unit]
        rate = float(re.match(r"([+−-][\d.]+) % against VTM", cells["BD-rate"])[1].replace("−", "-"))  # type: ignore[index]
        network = cells["weights"].split(",")[0]
        before = 0.0 if cells["start"].startswith("fresh") else next((r.pixels for r in reversed(found)), 0.0)
        mark = re.search(r"fingerprint (\w+)", cells["weights"])
        found.append(Run(network, mark[1] if mark else "", before + pixels, rate))
    return found


def curves() -> dict[str, list[tuple[float, float]]]:
    """Points by name: our runs by network, then the others."""
    ours: dict[str, list[tuple[float, float]]] = {}
    for run in runs(NOTES.read_text(encoding="utf-8")):
        ours.setdefault(f"feds {run.network}", []).append((run.pixels, run.rate))
    others = json.loads(POINTS.read_text(encoding="utf-8"))
    return ours | {name: [(x, y) for x, y in entry["points"]] for name, entry in others.items()}


def _across(pixels: float) -> float:
    return LEFT + WIDTH * (math.log10(pixels) + 1) / 4.2  # 0.1 … 1600 gigapixels


def _down(rate: float) -> float:
    return TOP + HEIGHT * (200 - min(rate, 200)) / 220  # +200 … −20 %


def picture() -> str:
    """The page's picture as SVG."""
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + MARGIN} {TOP + HEIGHT + 44}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for pixels in (0.1, 1, 10, 100, 1000):
        x = _across(pixels)
        drawn.append(f'<path d="M{x:.1f} {TOP}v{HEIGHT}" stroke="#ddd"/>')
        drawn.append(f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{pixels:g}</text>')
    for rate in range(-20, 201, 20):
        y = _down(rate)
        drawn.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="{"#888" if rate == 0 else "#ddd"}"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{rate:+d} %</text>')
    middle = LEFT + WIDTH / 2
    drawn.append(f'<text x="{middle}" y="{TOP + HEIGHT + 36}" text-anchor="middle">gigapixels seen</text>')
    for number, (name, points) in enumerate(curves().items()):
        drawn += _curve(name, points, COLOURS[number % len(COLOURS)], number)
    return "\n".join([*drawn, "</svg>\n"])


def _curve(name: str, points: list[tuple[float, float]], colour: str, number: int) -> list[str]:
    ours = name.startswith(("feds", "light"))
    places = [(round(_across(x), 1), round(_down(y), 1)) for x, y in points]
    dashes = "" if ours or name.startswith("MLIC") else ' stroke-dasharray="4 4"'
    line = " ".join(f"{x},{y}" for x, y in places)
    drawn = [f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{2 if ours else 1}"{dashes}/>']
    drawn += [f'<circle cx="{x}" cy="{y}" r="{4 if ours else 2.5}" fill="{colour}"/>' for x, y in places]
    y = TOP + 14 + 20 * number
    drawn.append(f'<circle cx="{LEFT + WIDTH + 16}" cy="{y - 4}" r="4" fill="{colour}"/>')
    drawn.append(f'<text x="{LEFT + WIDTH + 26}" y="{y}">{escape(name)}</text>')
    return drawn


def page() -> str:
    """The page, whose tables are the picture's points."""
    rows = [
        f"| {run.network} | {run.fingerprint} | {run.pixels:.2f} | {run.rate:+.1f} % |"
        for run in runs(NOTES.read_text(encoding="utf-8"))
    ]
    others = json.loads(POINTS.read_text(encoding="utf-8"))
    listed = [f"- **{name}**: {entry['source']}" for name, entry in others.items()]
    return "\n".join([
        "# How far training has come", "",
        "<!-- written by `python tools/draw_learning.py` from weights/TRAINING.md and docs/learning.json -->", "",
        "BD-rate over VTM-9.1 on Kodak in PSNR, over the pixels that a network has seen in all runs. Lower is better.",
        "", "![BD-rate over gigapixels seen](learning.svg)", "",
        "| network | fingerprint | gigapixels | BD-rate |", "| --- | --- | --- | --- |", *rows, "",
        "The other curves:", "", *listed, "",
    ])  # fmt: skip


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")

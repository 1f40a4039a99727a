"""Write docs/learning.md and docs/learning.svg: the BD-rate of every run, over the pixels that it had seen.

    python tools/draw_learning.py

Rows come from the tables of weights/TRAINING.md (weights, start, pixels seen, BD-rate or BD-rate in a metric). A row
continues the one whose fingerprint its start names, or else, if the start is not fresh, the row below it that has the
same rate. docs/learning.json has the results of others and what we expected.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

from fedscodec.reports import charts
from fedscodec.reports.axes import OURS, PEERS
from fedscodec.reports.figures import signed
from fedscodec.reports.layout import WIDTH, Plane
from fedscodec.reports.plots import alone

ROOT = Path(__file__).parent.parent
NOTES, POINTS = ROOT / "weights" / "TRAINING.md", ROOT / "docs" / "learning.json"
PAGE, PICTURE = ROOT / "docs" / "learning.md", ROOT / "docs" / "learning.svg"
UNITS = {"million": 1e-3, "gigapixels": 1.0, "billion": 1.0}
PLANE = Plane((-1.0, 3.2), (-20.0, 200.0), left=96, right=WIDTH - 240)  # 0.1 … 1600 gigapixels, in percent


class Run(NamedTuple):
    """A row of TRAINING.md: gigapixels in all, BD-rate in percent."""

    network: str
    fingerprint: str
    pixels: float
    rate: float


def runs(text: str, rate_of: str = "BD-rate") -> list[Run]:
    """Every run that has pixels and a rate of that name, from the oldest on."""
    found: list[Run] = []
    for section in reversed(re.split(r"^## ", text, flags=re.M)):
        cells = dict(re.findall(r"^\| ([\w-]+(?: [\w-]+)*) \| (.+) \|$", section, flags=re.M))
        if not {"weights", "start", "pixels seen", rate_of} <= cells.keys():
            continue
        number, unit = re.match(r"([\d.,]+) (\w+)", cells["pixels seen"]).groups()  # type: ignore[union-attr]
        pixels = float(number.replace(",", "")) * UNITS[unit]
        rate = float(re.match(r"([+−-][\d.]+) % against ", cells[rate_of])[1].replace("−", "-"))  # type: ignore[index]
        network = cells["weights"].split(",")[0]
        before = _before(cells["start"], found)
        mark = re.search(r"fingerprint (\w+)", cells["weights"])
        found.append(Run(network, mark[1] if mark else "", before + pixels, rate))
    return found


def _before(start: str, found: list[Run]) -> float:
    """Gigapixels that the start of a row had seen in runs with the same rate."""
    if start.startswith("fresh"):
        return 0.0
    named = re.search(r"\b[0-9a-f]{16}\b", start)
    same = [run for run in found if named is None or run.fingerprint == named[0]]
    return same[-1].pixels if same else 0.0


def curves() -> dict[str, list[tuple[float, float]]]:
    """Points by name: our runs by network, then the others."""
    ours: dict[str, list[tuple[float, float]]] = {}
    for run in runs(NOTES.read_text(encoding="utf-8")):
        ours.setdefault(f"feds {run.network}", []).append((run.pixels, run.rate))
    others = json.loads(POINTS.read_text(encoding="utf-8"))
    return ours | {name: [(x, y) for x, y in entry["points"]] for name, entry in others.items()}


def picture() -> str:
    """The page's picture as SVG."""
    drawn = [charts.opened("learning", "BD-rate over the pixels that a network has seen")]
    decades = {float(power): f"{10.0**power:g}" for power in range(-1, 4)}
    drawn += charts.grid(PLANE, decades, {float(y): f"{signed(y, 'g')} %" if y else "0 %" for y in range(-20, 201, 20)},
                         ("gigapixels seen", "BD-rate over VTM-9.1, PSNR"))  # fmt: skip
    found = curves()
    ours = [name for name in found if name.startswith(("feds", "light"))]
    for number, (name, points) in enumerate(found.items()):
        colour = OURS[ours.index(name) % len(OURS)] if name in ours else PEERS[number % len(PEERS)]
        places = [place(point) for point in points]
        drawn += [charts.polyline(PLANE, places, colour), charts.legend(PLANE, number, name, colour)]
        drawn += [charts.spot(PLANE, x, y, colour) for x, y in places if name in ours]
    return alone("\n".join([*drawn, "</svg>"])).decode()


def place(point: tuple[float, float]) -> tuple[float, float]:
    """Where a point lies in the plane; rates above +200 % lie at its edge."""
    pixels, rate = point
    return math.log10(pixels), min(rate, PLANE.y[1])


def page() -> str:
    """The page, whose tables are the picture's points."""
    notes = NOTES.read_text(encoding="utf-8")
    others = json.loads(POINTS.read_text(encoding="utf-8"))
    listed = [f"- **{name}**: {entry['source']}" for name, entry in others.items()]
    return "\n".join([
        "# How far training has come", "",
        "<!-- written by `python tools/draw_learning.py` from weights/TRAINING.md and docs/learning.json -->", "",
        "BD-rate over VTM-9.1 on Kodak in PSNR, over the pixels that a network has seen in all runs. Lower is better.",
        "", "![BD-rate over gigapixels seen](learning.svg)", "",
        *_table(runs(notes)), "",
        "The other curves:", "", *listed, "",
        "## For MS-SSIM", "",
        "BD-rate over VTM-9.1 on Kodak in MS-SSIM, over the pixels seen since the distortion is MS-SSIM.", "",
        *_table(runs(notes, "BD-rate in MS-SSIM")), "",
        "## For SSIMULACRA 2", "",
        "BD-rate over AVIF (default) on Kodak in SSIMULACRA 2, over the pixels seen since that is the distortion.", "",
        *_table(runs(notes, "BD-rate in SSIMULACRA 2")), "",
    ])  # fmt: skip


def _table(found: list[Run]) -> list[str]:
    rows = [f"| {run.network} | {run.fingerprint} | {run.pixels:.2f} | {signed(run.rate)} % |" for run in found]
    return ["| network | fingerprint | gigapixels | BD-rate |", "| --- | --- | --- | --- |", *rows]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")

"""The scenes of a report's viewer: the original, ours, and each peer at the setting nearest in bytes.

A scene is one picture at one setting of ours. The decoded pictures lie beside results.json (see `decoded_path`), as
lossless WebP. They go into the report unchanged, up to a size limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bench import matching
from ..bench.results import Results, Row, decoded_path
from ..images import read_picture
from ..metrics.table import METRICS
from .figures import signed
from .viewer import Scene, Shot, embed

BUDGET = 36 * 2**20
"""Bytes of pictures in one report, before they become text, which takes a third more."""
CROP = 256
"""Side of the crops in pixels."""


@dataclass(frozen=True)
class View:
    """A scene and where its crops start: the upper left corner, in pixels."""

    scene: Scene
    left: int
    top: int


@dataclass(frozen=True)
class _Plan:
    """A scene before its pictures are read: ours, and the peers with nearly its bytes."""

    original: Path
    ours: Row
    peers: tuple[Row, ...]

    def paths(self, folder: Path) -> list[Path]:
        return [self.original, *(_path(folder, row) for row in (self.ours, *self.peers))]


def views(results: Results, folder: Path, budget: int = BUDGET) -> list[View]:
    """The scenes of a run, as far as its decoded pictures exist and fit into the limit.

    Peers and our other codecs are matched with our first codec. Its middle setting comes first, for all pictures, then
    the ends.
    """
    ours = next((key for key, codec in results.codecs.items() if codec.kind == "feds"), None)
    names = list(dict.fromkeys(row.picture for row in results.rows)) if ours else []
    plans = [plan for name in names if (plan := list(_plans(results, folder, name, ours or "")))]
    taken = []
    for rank in range(matching.LEVELS):
        for of_picture in plans:
            if rank < len(of_picture):
                size = sum(path.stat().st_size for path in of_picture[rank].paths(folder))
                if size <= budget:
                    budget -= size
                    taken.append(of_picture[rank])
    order = {name: number for number, name in enumerate(names)}
    taken.sort(key=lambda plan: (order[plan.ours.picture], plan.ours.bytes))
    return [_view(results, folder, plan) for plan in taken]


def _plans(results: Results, folder: Path, picture: str, ours: str) -> Iterator[_Plan]:
    original = decoded_path(folder, "original", None, picture)
    if not original.is_file():
        return
    every = (*results.rows, *results.matched)
    rows = [row for row in every if row.picture == picture and _path(folder, row).is_file()]
    others = [key for key in results.codecs if key != ours and any(row.codec == key for row in rows)]
    of = {key: [row for row in rows if row.codec == key] for key in (ours, *others)}
    for own in matching.levels(of[ours]):
        yield _Plan(original, own, tuple(matching.nearest(of[key], own.bytes) for key in others))


def _path(folder: Path, row: Row) -> Path:
    return decoded_path(folder, row.codec, row.setting, row.picture)


def _view(results: Results, folder: Path, plan: _Plan) -> View:
    own = plan.ours
    shots = [Shot("original", embed(plan.original.read_bytes()), {})]
    for row in (own, *plan.peers):
        codec = results.codecs[row.codec]
        label = f"{codec.title}, {codec.setting} {row.setting:g}"
        shots.append(Shot(label, embed(_path(folder, row).read_bytes()), _facts(row, own)))
    name = f"{own.picture}, {results.codecs[own.codec].setting} {own.setting:g}, {own.bytes:,} bytes"
    scene = Scene(name, own.width, own.height, tuple(shots), 1, min(2, len(shots) - 1))
    return View(scene, *_busiest(plan.original))


def _facts(row: Row, own: Row) -> dict[str, str]:
    measured = {METRICS[name].title: METRICS[name].figure(value) for name, value in row.quality.items()}
    facts = {"bytes": f"{row.bytes:,}", **measured}
    beside = "" if row is own else f"{signed(100 * (row.bytes / own.bytes - 1))} %"
    return {**facts, "bpp": f"{row.bpp:.3f}", "bytes against ours": beside}


def _busiest(path: Path) -> tuple[int, int]:
    """Left and top of the crop with the strongest changes in grey values, where losses are easiest to see."""
    grey = read_picture(path).pixels.mean(axis=2)
    change = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    if not change.size:  # a single row or column
        return 0, 0
    sums = np.pad(change.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    high, wide = min(CROP, change.shape[0]), min(CROP, change.shape[1])
    boxes = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    top, left = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return int(left), int(top)

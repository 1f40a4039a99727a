"""NAME.json: the results of a table's runs, and how they are written and read.

    {"format": "feds-ablation-1", "table": {}, "asked": {}, "dataset": {}, "variants": {name: {}}, "runs": [{}],
     "rates": [{}]}

The keys inside are the fields of the classes below. Points are means over the pictures of whole files. `rates` follow
from the points; they are written for those who read the file without this module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..bench.curves import Curve
from ..bench.results import Dataset
from ..errors import FedsError
from ..files.outputs import write_file
from ..metrics.table import METRICS
from .plan import Definition

FORMAT = "feds-ablation-1"


@dataclass(frozen=True)
class Asked:
    """What was asked of a table; with the paces it decides how many steps each variant has."""

    minutes: float
    student: str = ""  # digest of the weights that variants start from
    teacher: str = ""  # of the teacher
    data: str = ""  # of the training pixels


@dataclass(frozen=True)
class About:
    """A variant: what it is, and how long a step of it takes here."""

    title: str
    network: str
    parameters: int
    kmacs_per_pixel: float
    pace: float  # seconds a step, on the cores that were used
    clock: float  # seconds a step by the clock when that was measured


@dataclass(frozen=True)
class Point:
    """Means over the pictures at one quality."""

    quality: float
    bpp: float
    figures: dict[str, float]  # of each metric
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Done:
    """A run that was trained and measured."""

    variant: str
    seed: int
    steps: int
    views: tuple[str, ...]
    definition: Definition
    command: str  # that trains it
    minutes: float  # of training, by the clock
    pixels: int  # seen
    fingerprint: str  # of its weights file
    pictures: int  # that were measured
    points: tuple[Point, ...]
    trained: dict[str, Any]  # where: workers, commit
    measured: dict[str, Any]  # where: fields of `bench.results.Where`

    @property
    def seconds_a_step(self) -> float:
        """By the clock, with checkpoints and calibration."""
        return 60 * self.minutes / self.steps

    @property
    def curve(self) -> Curve:
        """Rate and distortion over its qualities."""
        names = [name for name in METRICS if all(name in point.figures for point in self.points)]
        heights = {name: tuple(METRICS[name].height(point.figures[name]) for point in self.points) for name in names}
        title = f"{self.variant}, seed {self.seed}"
        return Curve(
            title, title, "feds", tuple(point.bpp for point in self.points), heights, "measured here",
            tuple(point.quality for point in self.points),
        )  # fmt: skip


@dataclass(frozen=True)
class Ablation:
    """A table and its results so far."""

    table: dict[str, str]  # name, title, paper, baseline
    asked: Asked
    dataset: Dataset
    variants: dict[str, About]
    runs: tuple[Done, ...] = field(default_factory=tuple)

    def of(self, view: str, variant: str) -> list[Done]:
        """The runs of a variant in a view, by seed."""
        found = (run for run in self.runs if run.variant == variant and view in run.views)
        return sorted(found, key=lambda run: run.seed)


def path_of(folder: Path, name: str) -> Path:
    """Where a table's results are."""
    return folder / f"{name}.json"


def write(path: Path, ablation: Ablation, rates: Sequence[Mapping[str, Any]]) -> None:
    """Write the results, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, to_json(ablation, rates).encode(), force=True)


def to_json(ablation: Ablation, rates: Sequence[Mapping[str, Any]]) -> str:
    """Results as strict JSON."""
    runs = [{**asdict(run), "seconds_a_step": round(run.seconds_a_step, 5)} for run in ablation.runs]
    document = {"format": FORMAT, **asdict(ablation), "runs": runs, "rates": list(rates)}
    return json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Strict JSON has neither infinity nor NaN: null there."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(path: Path) -> Ablation | None:
    """What was written, or None where nothing is; FedsError for anything else."""
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise FedsError(f"{path}: expected format {FORMAT}, found {document['format']}")
        return Ablation(
            document["table"],
            Asked(**document["asked"]),
            Dataset(**document["dataset"]),
            {name: About(**about) for name, about in document["variants"].items()},
            tuple(map(_done, document["runs"])),
        )
    except OSError as error:
        raise FedsError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FedsError(f"{path}: expected the results of an ablation ({FORMAT}), found: {error}") from error


def _done(values: dict[str, Any]) -> Done:
    known = {key: value for key, value in values.items() if key != "seconds_a_step"}
    points = tuple(Point(**{**point, "figures": _finite(point["figures"])}) for point in values["points"])
    return Done(**{**known, "views": tuple(values["views"]), "points": points})


def _finite(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: math.inf if value is None else value for name, value in figures.items()}

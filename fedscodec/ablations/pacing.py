"""How long a step of each variant takes on this machine, measured once and kept beside the runs (`pace.json`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch

from ..bench.run import cpu_name
from ..errors import FedsError
from ..files.outputs import write_file
from ..networks.metadata import read_metadata
from ..networks.spec import VARIANTS
from ..training import session
from ..training.measure import Pace
from .plan import define, digest, job
from .sources import Sources
from .tables import GIVEN, Table, Variant

ROUNDS, SECONDS = 2, 5.0
"""How often each variant has its turn, and how long each part of its run is timed then."""


class Paced(NamedTuple):
    """Seconds a step: of the cores in use, which other work on the machine hardly changes, and by the clock."""

    pace: float
    clock: float


def paces(
    table: Table, sources: Sources, work: Path, tell: Callable[[str], None], known: Mapping[str, Paced] | None = None
) -> dict[str, Paced]:
    """The pace of every variant by name: those that are known, those kept in `work`, and the others measured now."""
    kept, keys = _read(work), {v.name: _key(table, v, sources) for v in table.variants}
    have = {name: kept[key] for name, key in keys.items() if key in kept} | dict(known or {})
    if missing := [variant for variant in table.variants if variant.name not in have]:
        measured = _measure(table, missing, sources, work, tell)
        have |= measured
        _write(work, kept | {keys[name]: paced for name, paced in measured.items()})
    return {variant.name: have[variant.name] for variant in table.variants}


def _measure(
    table: Table, variants: Sequence[Variant], sources: Sources, work: Path, tell: Callable[[str], None]
) -> dict[str, Paced]:
    """Turn by turn, so that what else the machine does meets all of them."""
    found: dict[str, list[Pace]] = {variant.name: [] for variant in variants}
    cores = sources.workers if sources.workers > 1 else torch.get_num_threads()
    for turn in range(ROUNDS):
        for variant in variants:
            teacher = _teacher(table, variant, sources, work)
            timed = job(variant, sources, work / "nothing.safetensors", table.overrides(variant), teacher)
            threads = torch.get_num_threads()
            try:
                found[variant.name].append(session.pace(timed, SECONDS))
            finally:
                torch.set_num_threads(threads)  # with workers it is one
            so_far = _mean(found[variant.name], cores)
            tell(f"timed {variant.name}, turn {turn + 1} of {ROUNDS}: {so_far.pace:.3f} s a step")
    return {name: _mean(paces, cores) for name, paces in found.items()}


def _mean(paces: Sequence[Pace], cores: int) -> Paced:
    clock, busy = mean(p.seconds for p in paces), mean(p.core_seconds for p in paces)
    return Paced(round(busy / cores if busy else clock, 6), round(clock, 6))


def _teacher(table: Table, variant: Variant, sources: Sources, work: Path) -> Path | None:
    """The weights that teach a variant; of another variant, which nobody has trained yet, those after one step."""
    if variant.teacher is None:
        return None
    if variant.teacher == GIVEN:
        return sources.teacher.path if sources.teacher else None
    other = table.variant(variant.teacher)
    out = work / "untrained" / f"{other.network}-{_key(table, other, sources)}.safetensors"
    if not out.exists():
        overrides = table.overrides(other, steps=1)
        session.run(replace(job(other, sources, out, overrides, None), workers=1), session.Nobody())
    return out


def _key(table: Table, variant: Variant, sources: Sources) -> str:
    """What a pace depends on: networks, recipe, machine."""
    definition = define(table, variant, sources)
    teacher: Any = None
    if variant.teacher == GIVEN and sources.teacher:
        teacher = read_metadata(sources.teacher.path).get("spec")
    elif variant.teacher is not None:
        teacher = VARIANTS[table.variant(variant.teacher).network].to_dict()
    machine = cpu_name(), sources.device, sources.workers, torch.get_num_threads()
    return digest([definition["spec"], definition["recipe"], teacher, machine])


def _read(work: Path) -> dict[str, Paced]:
    path = work / "pace.json"
    if not path.exists():
        return {}
    try:
        return {key: Paced(*map(float, values)) for key, values in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise FedsError(f"{path}: expected the seconds of steps, found {error}; delete it") from None


def _write(work: Path, kept: Mapping[str, Paced]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    write_file(work / "pace.json", (json.dumps(kept, indent=1) + "\n").encode(), force=True)

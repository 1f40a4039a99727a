"""Which files a batch is about, and where each result goes: folders, globs and single names become tasks.

    photos/            the pictures in it (recursive: below it), mirrored under the output folder
    'photos/**/*.jpg'  those that match, mirrored from the last folder without a wildcard on
    photo.jpg          itself, directly in the output folder

Of several inputs folders keep their own name under the output folder. Without an output folder every result lies
beside its source. Hidden files and folders are passed over, as are links to folders.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import FedsError


@dataclass(frozen=True)
class Task:
    """One file and where its result goes; `fault` says why it cannot be done, where that is known beforehand."""

    source: Path
    target: Path
    fault: str = ""


def is_batch(sources: list[Path]) -> bool:
    """Whether these are many files, or may be: more than one input, a folder, or a pattern."""
    return len(sources) > 1 or any(source.is_dir() or _is_pattern(source) for source in sources)


def find_tasks(
    sources: list[Path], output: Path | None, suffix: str, wanted: Container[str], *, recursive: bool = False
) -> list[Task]:
    """The tasks of all inputs, in order, each source once.

    In folders files whose suffix is in `wanted` (lower case) are taken. Of two sources with one target both have a
    fault. FedsError where nothing is found at all.
    """
    sources_of: dict[Path, list[Path]] = {}
    for source, place in dict(_found(sources, wanted, recursive)).items():
        target = (source.parent if output is None else output / place.parent) / f"{source.stem}{suffix}"
        sources_of.setdefault(target, []).append(source)
    if not sources_of:
        looked_for = f" (looked for {' '.join(sorted(wanted))})" if isinstance(wanted, set | frozenset | tuple) else ""
        raise FedsError(f"{', '.join(map(str, sources))}: nothing to do here{looked_for}")
    return [
        Task(source, target, _clash(target, rivals))
        for target, rivals in sources_of.items()
        for source in rivals
    ]  # fmt: skip


def _clash(target: Path, sources: list[Path]) -> str:
    if len(sources) == 1:
        return ""
    return f"{target}: would be made of {' and of '.join(map(str, sources))}, expected one source for one output"


def _is_pattern(source: Path) -> bool:
    return glob.has_magic(str(source)) and not source.exists()


def _found(sources: list[Path], wanted: Container[str], recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Every source and its place below the output folder."""
    for source in sources:
        if source.is_dir():
            kept = Path(source.resolve().name) if len(sources) > 1 else Path()
            for path in _inside(source, wanted, recursive):
                yield path, kept / path.relative_to(source)
        elif _is_pattern(source):
            fixed = _without_wildcards(source)
            for match in map(Path, sorted(glob.glob(str(source), recursive=True))):
                if match.is_file():
                    yield match, match.relative_to(fixed)
        else:
            yield source, Path(source.name)


def _inside(folder: Path, wanted: Container[str], recursive: bool) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in wanted:
                yield Path(place, name)


def _without_wildcards(pattern: Path) -> Path:
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])

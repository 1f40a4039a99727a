"""Turn folders, patterns and names into tasks: which files to process, and where each result goes.

    photos/            the pictures in it (recursive: below it), mirrored under the output folder
    'photos/**/*.jpg'  those that match, mirrored from the last folder without a wildcard on
    photo.jpg          itself, directly in the output folder

Of several inputs folders keep their own name under the output folder. Without an output folder every result lies
beside its source. Hidden files and folders are passed over in silence. Whatever else is passed over is told: files of
other kinds, links to folders, folders that are not entered, what is no file at all, such as a named pipe, and files
whose result would take their own place. A folder that cannot be read is a failure.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import FedsError
from ..files.inputs import is_pattern, odd_kind
from ..files.names import shown, told_apart
from ..files.outputs import result_name


@dataclass(frozen=True)
class Task:
    """One file and where its result goes; `fault` says why it cannot be done, if that is known beforehand."""

    source: Path
    target: Path
    fault: str = ""


@dataclass
class Plan:
    """The tasks of a batch in order, each source once, and what was skipped.

    `left` counts files of other kinds by their suffix, in lower case; `notes` has a sentence for everything else.
    """

    tasks: list[Task] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """Sentences on everything that was skipped."""
        if not self.left:
            return self.notes
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in self.left.most_common())
        files = "1 file was" if self.left.total() == 1 else f"{self.left.total()} files were"
        return [*self.notes, f"{files} skipped, of other kinds: {shown(kinds)}"]


def is_batch(sources: list[Path]) -> bool:
    """Whether these may be several files: more than one input, a folder, or a pattern."""
    return len(sources) > 1 or any(source.is_dir() or is_pattern(source) for source in sources)


def plan(
    sources: list[Path], output: Path | None, suffix: str, wanted: Collection[str], *, recursive: bool = False,
    keep: bool = False,
) -> Plan:  # fmt: skip
    """The tasks of all inputs; their results get the given suffix, in place of their own or (keep) behind it.

    Takes files from folders if their suffix is in `wanted` (lower case). If two sources have the same target, however
    its path is spelled (in other case too, where that is the same file), both get a fault. Raises FedsError if nothing
    is found.
    """
    made, rivals = Plan(), dict[str, list[Task]]()
    search = _Search(wanted, suffix, recursive, made)
    for source, place in dict(search.found(sources)).items():
        folder = source.parent if output is None else output / place.parent
        target = folder / result_name(source, suffix, keep=keep)
        if _is_same(source, target):
            made.notes.append(f"{shown(source)}: its result would take its own place, skipped")
            continue
        there = rivals.setdefault(told_apart(os.path.join(os.path.realpath(target.parent), target.name)), [])
        if not any(_is_same(source, task.source) for task in there):  # one file by two names
            there.append(Task(source, target))
    if not rivals and not search.faults:
        raise FedsError(_nothing(sources, wanted, made))
    made.tasks = [replace(task, fault=_clash(task.target, tasks)) for tasks in rivals.values() for task in tasks]
    made.tasks += search.faults
    return made


def _is_same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.samefile(other)
    return False


def _nothing(sources: list[Path], wanted: Collection[str], made: Plan) -> str:
    looked_for = " ".join(sorted(wanted)) if len(wanted) < 10 else "pictures that Pillow reads"
    nothing = f"{', '.join(map(shown, sources))}: nothing to do here (looked for {looked_for})"
    return "; ".join([nothing, *filter(None, map(_bracket_hint, sources)), *made.sentences])


def _bracket_hint(source: Path) -> str | None:
    """Why a name with brackets matches nothing: the brackets make it a pattern."""
    if not is_pattern(source) or "[" not in str(source):
        return None
    literal = str(source).replace("[", "[[]")
    count = len(glob.glob(literal, recursive=True))
    instead = f"; write {shown(literal)} for the {count} with these brackets in their names" if count else ""
    return f"{shown(source)}: no file has this name, and in a pattern [ ] stand for one of the letters in them{instead}"


def _clash(target: Path, tasks: list[Task]) -> str:
    if len(tasks) == 1:
        return ""
    rivals = " and of ".join(shown(task.source) for task in tasks)
    return f"{shown(target)}: would be made of {rivals}, expected one source for one output"


@dataclass
class _Search:
    """Searches for sources, and notes in a plan what it skips; `faults` are folders that cannot be read."""

    wanted: Collection[str]
    made: str
    recursive: bool
    plan: Plan
    faults: list[Task] = field(default_factory=list)

    def found(self, sources: list[Path]) -> Iterator[tuple[Path, Path]]:
        """Every source and its place below the output folder."""
        for source in sources:
            if source.is_dir():
                kept = Path(source.resolve().name) if len(sources) > 1 else Path()
                for path in self._inside(source):
                    yield path, kept / path.relative_to(source)
            elif is_pattern(source):
                fixed = _without_wildcards(source)
                for match in map(Path, sorted(glob.glob(str(source), recursive=True))):
                    if not match.is_dir() and self._is_file(match):
                        yield match, match.relative_to(fixed)
            else:
                yield source, Path(source.name)

    def _inside(self, folder: Path) -> Iterator[Path]:
        for place, folders, names in os.walk(folder, onerror=self._cannot_read):
            self._folders(Path(place), folders)
            for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
                suffix = path.suffix.lower()
                if self._is_file(path) and suffix in self.wanted:
                    yield path
                elif suffix != self.made and odd_kind(path) is None:
                    self.plan.left[suffix] += 1

    def _cannot_read(self, error: OSError) -> None:
        folder = Path(os.fsdecode(error.filename))
        fault = Task(folder, folder, f"{shown(folder)}: cannot be read ({error.strerror})")
        self.faults += [fault] if fault not in self.faults else []

    def _folders(self, place: Path, folders: list[str]) -> None:
        """Keep only the folders to enter, and note the others."""
        seen = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in seen if (place / name).is_symlink()]
        self.plan.notes += [f"{shown(place / name)}: is a link to a folder, skipped" for name in links]
        folders[:] = [name for name in seen if name not in links] if self.recursive else []
        if not self.recursive and (count := len(seen) - len(links)):
            what = "1 folder in it was" if count == 1 else f"{count} folders in it were"
            self.plan.notes.append(f"{shown(place)}: {what} not entered, --recursive does that")

    def _is_file(self, path: Path) -> bool:
        """Whether this is a regular file or a link to one. Notes everything else, because a pipe would block all
        others.
        """
        if kind := odd_kind(path):
            self.plan.notes.append(f"{shown(path)}: is {kind}, skipped")
        return kind is None


def _without_wildcards(pattern: Path) -> Path:
    parts = pattern.parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])

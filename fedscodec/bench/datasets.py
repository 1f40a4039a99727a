"""The pictures of a benchmark: found, downloaded if missing, and checked.

A dataset is searched for as `$FEDS_DATA/NAME` (several folders, as in $PATH), then in the user's cache, and else
downloaded into the cache from its official place. Kodak is checked by SHA-256: of the files, or of the pixels, because
another encoder's PNG of the same pictures is another file. For the others no sums are known; they are checked by name,
number and size, and the results say so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path

from ..errors import FedsError, ImageError
from ..files.names import printable, shown, told_apart
from ..files.outputs import write_file
from ..images import Picture, graphics, picture_bytes, picture_suffixes, read_picture
from ..machine import cache_folder
from .download import Progress, fetch_archive, fetch_file, silent


@dataclass(frozen=True)
class Source:
    """A dataset: its origin and how to recognise it.

    `url` ends with a slash if every file is downloaded on its own; else it is an archive (zip), from which the pictures
    under `inside` are taken. `names` are all expected names, if known; `sums_file` is in this package.
    """

    name: str
    title: str
    url: str
    pictures: int
    names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    inside: str = ""
    sums_file: str = ""
    longest: int = 0  # side of any picture, where that is known

    @cached_property
    def sums(self) -> dict[str, dict[str, str]]:
        """SHA-256 of each file (`sha256`) and of its RGB samples, row by row (`pixels_sha256`)."""
        if not self.sums_file:
            return {}
        sums: dict[str, dict[str, str]] = json.loads((files(__package__) / self.sums_file).read_text())
        return sums

    @property
    def checked(self) -> str:
        """What `check` verifies, for the results."""
        if self.sums_file:
            return "SHA-256 of the files or of their pixels"
        if self.names and self.size:
            return f"names, and {self.size[0]}x{self.size[1]} pixels each; no sums are known"
        sides = f", and sides of at most {self.longest}" if self.longest else ""
        return f"the number of pictures, {self.pictures}{sides}; no sums are known"


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "kodak", "Kodak PhotoCD, 24 photographs", "https://r0k.us/graphics/kodak/kodak/", 24,
            tuple(f"kodim{number:02}.png" for number in range(1, 25)), sums_file="kodak.json",
        ),
        Source(
            "tecnick", "TESTIMAGES of Tecnick, 100 pictures RGB 1200x1200",
            "https://downloads.sourceforge.net/project/testimages/OLD/OLD_SAMPLING/testimages.zip", 100,
            tuple(f"RGB_OR_1200x1200_{number:03}.png" for number in range(1, 101)), (1200, 1200), "RGB_OR_1200x1200/",
        ),
        Source(
            "clic2020", "CLIC 2020 professional validation, 41 photographs",
            "https://data.vision.ee.ethz.ch/cvl/clic/professional_valid_2020.zip", 41, longest=2048,
        ),
        Source(
            "clic2021", "CLIC 2021 professional test, 60 photographs",
            "https://storage.googleapis.com/clic2021_public/professional_test_2021.zip", 60, longest=2048,
        ),
    )
}  # fmt: skip


GRAPHICS = "graphics"
"""The dataset that is drawn here: flat colours, text, lines, checkerboards, gradients, screens."""
_ALIASES = {"clic": "clic2021"}  # its name in earlier results


@dataclass(frozen=True)
class Pictures:
    """Pictures to measure: their common name, their paths in order, and how they were checked."""

    name: str
    paths: list[Path]
    checked: str = ""
    left_out: dict[str, str] = field(default_factory=dict)

    def readable(self) -> Pictures:
        """The readable pictures, and the name and fault of each other. Raises ImageError if none can be read."""
        left_out: dict[str, str] = {}
        for path in self.paths:
            try:
                read_picture(path)
            except FedsError as error:
                left_out[row_name(path)] = str(error).removeprefix(f"{path}: ")
        if len(left_out) == len(self.paths):
            raise ImageError(f"{self.name}: no picture here can be read: {next(iter(left_out.values()))}")
        return replace(self, paths=[path for path in self.paths if row_name(path) not in left_out], left_out=left_out)


def row_name(path: Path) -> str:
    """What rows call a picture: its file name, with what is not UTF-8 or would end a line escaped."""
    return printable(path.name)


def gathered(places: Iterable[Path]) -> Pictures:
    """The named pictures and those of the named folders; the set is called after the first of them.

    A folder that is called like a dataset is that dataset if `check` says so, and else one of the user's own, which is
    put beside no published figures.
    """
    places = list(places)
    first = places[0].resolve()
    if len(places) == 1 and first.is_dir() and first.name in SOURCES:
        with suppress(FedsError):
            return Pictures(first.name, check(SOURCES[first.name], first), SOURCES[first.name].checked)
        return Pictures(f"{first.name} (your own)", pictures_in(places))
    return Pictures(first.name if len(places) == 1 else f"{first.name} and more", pictures_in(places))


def pictures_in(places: Iterable[Path]) -> list[Path]:
    """The named pictures, and those directly inside the named folders, each once.

    Raises ImageError if there is none, if a place does not exist, and if two have the same name, because rows are told
    apart by name.
    """
    places = list(places)
    found = dict[Path, None]()
    for place in places:
        if place.is_dir():
            found.update(dict.fromkeys(_inside(place)))
        elif place.exists():
            found[place] = None
        else:
            raise ImageError(f"{shown(place)}: no such picture or folder")
    if not found:
        raise ImageError(f"{', '.join(map(str, places))}: expected pictures that Pillow reads, found none")
    require_different(found, row_name)
    return list(found)


def _inside(folder: Path) -> list[Path]:
    """The pictures directly in a folder, in order, without hidden ones: macOS puts such beside others."""
    wanted = picture_suffixes()
    seen = (path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix.lower() in wanted)
    return sorted(filter(Path.is_file, seen))


def require_different(paths: Iterable[Path], name_of: Callable[[Path], str]) -> None:
    """Raise ImageError if two pictures have the same name, which files are named by."""
    by_name: dict[str, Path] = {}
    for path in paths:
        if (other := by_name.setdefault(told_apart(name_of(path)), path)) != path:
            raise ImageError(f"{shown(path)}: expected pictures with different names, found {shown(other)} too")


def own_folders() -> list[Path]:
    """The folders of $FEDS_DATA."""
    return [Path(place) for place in os.environ.get("FEDS_DATA", "").split(os.pathsep) if place]


def dataset(name: str, progress: Progress = silent) -> Pictures:
    """The pictures of a dataset or of a folder; a dataset that is missing is drawn or downloaded first.

    Raises FedsError, which says what to put where.
    """
    name = _ALIASES.get(name, name)
    if name == GRAPHICS:
        return drawn()
    if name in SOURCES:
        return obtain(SOURCES[name], progress)
    if Path(name).is_dir():
        return gathered([Path(name)])
    raise FedsError(f"{name}: no such dataset or folder; there are {', '.join((*SOURCES, GRAPHICS))}")


def drawn() -> Pictures:
    """Pictures that are not photographs, drawn into the cache."""
    folder = _made(cache_folder() / GRAPHICS)
    paths = [folder / f"{name}.png" for name in graphics.pictures()]
    for path, pixels in zip(paths, graphics.pictures().values(), strict=True):
        write_file(path, picture_bytes(Picture(pixels), "png"), force=True)
    return Pictures(GRAPHICS, paths, "drawn here from a seed")


def obtain(source: Source, progress: Progress = silent) -> Pictures:
    """Like `dataset`, for a source that need not be in the table."""
    for folder in own_folders():
        if (folder / source.name).is_dir():
            return Pictures(source.name, check(source, folder / source.name), source.checked)
    folder = cache_folder() / source.name
    if missing(source, folder):
        _download(source, folder, progress)
    return Pictures(source.name, check(source, folder), source.checked)


def missing(source: Source, folder: Path) -> list[str]:
    """The missing pictures of a dataset in a folder, by name, or as one line if names are not known."""
    if source.names:
        return [name for name in source.names if not (folder / name).is_file()]
    found = len(_inside(folder)) if folder.is_dir() else 0
    return [] if found == source.pictures else [f"{found} pictures in place of {source.pictures}"]


def check(source: Source, folder: Path) -> list[Path]:
    """The pictures of a dataset in a folder, in order. Raises FedsError for the first that is missing or wrong."""
    if absent := missing(source, folder):
        raise FedsError(f"{folder}: expected {source.title}, but these are missing: {_some(absent)}")
    paths = [folder / name for name in source.names] or pictures_in([folder])
    for path in paths:
        check_picture(source, path, path)
    return paths


def check_picture(source: Source, path: Path, file: Path) -> None:
    """Raise FedsError, about `path`, unless `file` holds the dataset's picture of that name, as far as is known."""
    sums = source.sums.get(path.name)
    if sums and hashlib.sha256(file.read_bytes()).hexdigest() != sums["sha256"]:
        found = hashlib.sha256(read_picture(file).pixels.tobytes()).hexdigest()
        if found != sums["pixels_sha256"]:
            raise FedsError(
                f"{path}: is not the picture with that name in {source.title} (its pixels have another checksum)"
            )
    if source.size:
        picture = read_picture(file)
        if (picture.width, picture.height) != source.size:
            expected = f"{source.size[0]}x{source.size[1]}"
            raise FedsError(f"{path}: expected {expected} pixels, found {picture.width}x{picture.height}")
    if source.longest:
        picture = read_picture(file)
        if max(picture.width, picture.height) > source.longest:
            found = f"{picture.width}x{picture.height}"
            raise FedsError(f"{path}: expected sides of at most {source.longest} pixels, found {found}")


def _made(folder: Path) -> Path:
    """A folder of the cache, made if it is missing. Raises FedsError, which says how to choose another."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FedsError(
            f"{folder}: the folder for pictures could not be made ({error.strerror}); set XDG_CACHE_HOME to one that "
            "can be written to"
        ) from error
    return folder


def _download(source: Source, folder: Path, progress: Progress) -> None:
    _made(folder)
    try:
        if source.url.endswith("/"):
            for name in missing(source, folder):
                fetch_file(source.url + name, folder / name, progress, partial(check_picture, source, folder / name))
        else:
            fetch_archive(source.url, folder, source.inside, picture_suffixes(), progress)
    except OSError as error:  # URLError and timeouts are of this kind
        reason = getattr(error, "reason", None) or error.strerror or error
        raise FedsError(
            f"{source.name}: could not be downloaded from {source.url} ({reason}); without a network, put its pictures "
            f"({_some(source.names) if source.names else f'{source.pictures} files'}) into {folder}, or into a folder "
            f"{source.name} and set FEDS_DATA to where that is"
        ) from error


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, {names[1]} ... {names[-1]}"

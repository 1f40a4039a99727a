"""Find the weights file for a name, a path or a fingerprint.

Names are `network` or `network-qN` (student, student-q3, student-msssim-q4.5), or the path of a weights file. The
search goes through the folders of $FEDS_WEIGHTS, then the package, then the repository's `weights/`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UnknownModelError, WeightsError

if TYPE_CHECKING:
    from .networks.spec import ModelSpec

DEFAULT_QUALITY = 3.0
DEFAULT_MODEL = f"student-q{DEFAULT_QUALITY:g}"
_SUFFIXES_OF_WEIGHTS = (
    ".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pkl", ".onnx", ".h5", ".keras", ".gguf", ".npz", ".tar",
)  # fmt: skip
"""Suffixes that mark a name as that of a file; `networks.foreign` then says what kind of file it is."""


@dataclass(frozen=True)
class Network:
    """A network that is shipped or expected."""

    name: str
    weights: str  # file name
    description: str


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("student", "student.safetensors", "light and fast; the default"),
        Network("student-msssim", "student-msssim.safetensors", "the student, tuned for MS-SSIM"),
        Network("student-visual", "student-visual.safetensors", "the student, tuned for eyes (SSIMULACRA 2)"),
        Network("teacher", "teacher.safetensors", "larger; what the student is distilled from"),
        Network("student-paper", "student-paper.safetensors", "as large as the paper's student"),
        Network("teacher-paper", "teacher-paper.safetensors", "as large as the paper's teacher"),
        Network("tiny", "tiny.safetensors", "a toy of 100 kB for the tests; its pictures look poor"),
    )
}


@dataclass(frozen=True)
class Resolved:
    """What a model name stands for."""

    path: Path
    network: str
    quality: float | None

    def quality_of(self, qualities: int) -> float:
        """The quality that the name asks for, else the default: q3, or the last one of a network with fewer."""
        return min(DEFAULT_QUALITY, float(qualities)) if self.quality is None else self.quality


@dataclass(frozen=True)
class WeightsInfo:
    """The facts in the header of a weights file."""

    name: str
    path: Path
    spec: ModelSpec
    fingerprint: str
    bytes: int
    metadata: dict[str, str]

    @property
    def qualities(self) -> tuple[float, ...]:
        """λ of q1, q2, …"""
        return self.spec.lambdas


def folders() -> list[Path]:
    """The folders to search for weights, in order."""
    here = Path(__file__).parent
    own = [Path(p) for p in os.environ.get("FEDS_WEIGHTS", "").split(os.pathsep) if p]
    return [*own, here / "weights", here.parent / "weights"]


def _all_files() -> list[Path]:
    """Every weights file in every folder, in order."""
    found: list[Path] = []
    for folder in folders():
        with suppress(OSError):  # of a name that no folder can have
            found += [path for path in sorted(folder.glob("*.safetensors")) if path.is_file()]  # no pipes: they wait
    return found


def _files() -> list[Path]:
    """Every weights file found; if two have the same name, the one in the first folder."""
    found: dict[str, Path] = {}
    for path in _all_files():
        found.setdefault(path.name, path)
    return list(found.values())


def names() -> list[str]:
    """The names of the weights files found, without opening them."""
    return [path.stem for path in _files()]


def resolve(name: str | os.PathLike[str]) -> Resolved:
    """The weights file for a model name or path. Raises UnknownModelError, which lists the known names."""
    if not isinstance(name, str | os.PathLike):
        raise UnknownModelError(f"model: expected a name or the path of a weights file, found {type(name).__name__}")
    name = os.fsdecode(name)
    if name not in NETWORKS:
        for path in _files():
            if path.stem == name:  # as listed, whatever else such a name could mean
                return Resolved(path, name, None)
    if Path(name).suffix.lower() in _SUFFIXES_OF_WEIGHTS or os.sep in name:
        path, there = Path(name), False
        with suppress(OSError):  # of a name that no file can have
            there = path.is_file()
        if not there:
            raise UnknownModelError(f"{name}: no such weights file")
        return Resolved(path, path.stem, None)
    match = re.fullmatch(r"(.+?)(?:-q(\d+(?:\.\d+)?))?", name)
    network, quality = (match[1], match[2]) if match else (name, None)
    file = NETWORKS[network].weights if network in NETWORKS else f"{network}.safetensors"
    for path in _files():
        if path.name == file:
            return Resolved(path, network, float(quality) if quality else None)
    if network in NETWORKS:
        places = ", ".join(str(folder) for folder in folders())
        more = "FEDS_WEIGHTS names more folders"
        raise UnknownModelError(f"{network}: its weights file {file} is in none of {places}; {more}")
    known = ", ".join(path.stem for path in _files()) or "none"
    raise UnknownModelError(f"{name}: no such model; installed are {known}, each also with -q1 … -q7")


def weights_path(given: Path) -> Path:
    """A weights file given by its path or by a name without a quality. Raises UnknownModelError for neither."""
    if given.exists():
        return given
    found = resolve(str(given))
    if found.quality is not None:
        raise UnknownModelError(f"{given}: names one quality, expected all of the network: {found.network}")
    return found.path


def installed() -> list[WeightsInfo]:
    """Every readable weights file found, described by its header alone."""
    infos = []
    for path in _files():
        try:
            infos.append(describe(path))
        except WeightsError:
            continue  # a stray file in a folder of one's own is not this command's business
    return infos


def describe(path: Path) -> WeightsInfo:
    """What a weights file says about itself. Raises WeightsError if it cannot be read."""
    from .networks.metadata import read_metadata, spec_of

    metadata = read_metadata(path)
    spec = spec_of(metadata, path)
    return WeightsInfo(path.stem, path, spec, metadata.get("fingerprint", ""), path.stat().st_size, metadata)


def by_fingerprint(fingerprint: bytes, *, name: str = "the file") -> Resolved:
    """The installed weights that wrote a file. Raises UnknownModelError, which names the missing fingerprint."""
    found, unreadable = [], []
    for path in _all_files():  # those behind another file of their name, too
        try:
            found.append(describe(path))
        except WeightsError:
            unreadable.append(path.name)
            continue
        if found[-1].fingerprint == fingerprint.hex():
            return Resolved(path, found[-1].name, None)
    here = ", ".join(f"{info.name} ({info.fingerprint})" for info in found) or "none"
    rest = f"; cannot be read: {', '.join(unreadable)}" if unreadable else ""
    found_in = "its weights file can be given as the model, or its folder in FEDS_WEIGHTS"
    raise UnknownModelError(
        f"{name}: was written by the network {fingerprint.hex()}, which is not installed; installed are {here}{rest}; "
        f"{found_in}"
    )

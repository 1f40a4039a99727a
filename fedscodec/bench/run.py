"""Encode and decode pictures for real, and keep bytes, quality and the seconds of every stage.

A row is one picture at one quality. Sizes are those of the files, never estimates; `estimated_bits` stands beside
them so that the two can be compared. The model is loaded and warmed up before the first row is timed.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch

from .. import __version__
from ..codec import Model, decode_file, encode_picture, psnr
from ..errors import FedsError, ImageError
from ..fileformat import unpack
from ..images import PICTURE_SUFFIXES, read_picture


@dataclass(frozen=True)
class Row:
    """One picture at one quality; seconds by stage for each half."""

    name: str
    width: int
    height: int
    quality: float
    bytes: int
    estimated_bits: float  # −log₂ p of all symbols by the integer tables
    bpp: float
    psnr: float  # RGB, decibels
    encode: dict[str, float]
    decode: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """Means over the pictures of one quality; seconds are sums of the stages."""

    quality: float
    pictures: int
    bpp: float
    psnr: float
    encode_seconds: float
    decode_seconds: float
    encode: dict[str, float]
    decode: dict[str, float]
    bytes_over_estimate: float  # total bytes on disk over total −log₂ p


def pictures_in(places: Iterable[Path]) -> list[Path]:
    """The pictures named, and those directly inside the folders named; ImageError where there is none."""
    found = [
        path
        for place in places
        for path in (sorted(place.iterdir()) if place.is_dir() else [place])
        if path.suffix.lower() in PICTURE_SUFFIXES
    ]
    if not found:
        raise ImageError(
            f"{', '.join(map(str, places))}: no pictures here (looked for {' '.join(sorted(PICTURE_SUFFIXES))})"
        )
    return found


def measure(pictures: list[Path], model: Model, qualities: list[float]) -> Iterator[Row]:
    """Yield a row for each picture and quality; FedsError should a decoder's symbols ever differ from the encoder's."""
    for number, path in enumerate(pictures):
        picture = read_picture(path)
        if number == 0:
            model.decode(model.encode(picture, qualities[0]))  # first use prepares kernels and tables
        for quality in qualities:
            encoded = encode_picture(picture, model, quality, count_bits=True)
            decoded = decode_file(unpack(encoded.data, name=path.name), model)
            if any((a != b).any() for a, b in zip(encoded.symbols, decoded.symbols, strict=True)):
                raise FedsError(f"{path}: the decoder read other symbols than the encoder wrote")
            pixels = picture.width * picture.height
            yield Row(
                path.name, picture.width, picture.height, quality, len(encoded.data), encoded.bits,
                len(encoded.data) * 8 / pixels, psnr(picture, decoded.picture), encoded.seconds, decoded.seconds,
            )  # fmt: skip


def summarise(rows: list[Row]) -> list[Summary]:
    """One summary for each quality, in order."""
    summaries = []
    for quality in sorted({row.quality for row in rows}):
        of = [row for row in rows if row.quality == quality]
        encode, decode = (_mean_stages([getattr(row, half) for row in of]) for half in ("encode", "decode"))
        size, estimate = sum(row.bytes for row in of), sum(row.estimated_bits for row in of) / 8
        summaries.append(
            Summary(
                quality,
                len(of),
                mean(row.bpp for row in of),
                mean(row.psnr for row in of),
                sum(encode.values()),
                sum(decode.values()),
                encode,
                decode,
                size / estimate,
            )  # fmt: skip
        )
    return summaries


def _mean_stages(stages: list[dict[str, float]]) -> dict[str, float]:
    return {name: mean(s[name] for s in stages) for name in stages[0]}


def results(rows: list[Row], model: Model) -> str:
    """Rows, summaries and where they were measured, as JSON."""
    where = {
        "feds": __version__,
        "torch": torch.__version__,
        "device": str(model.device),
        "precision": str(model.precision).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "model": model.name,
        "fingerprint": model.fingerprint.hex(),
    }
    figures = {name: [_plain(of) for of in given] for name, given in (("summaries", summarise(rows)), ("rows", rows))}
    return json.dumps({"where": where, **figures}, indent=1) + "\n"


def _plain(figures: Row | Summary) -> dict[str, object]:
    """As strict JSON takes it: null for the infinite PSNR of a picture that came back without any error."""
    return {name: None if value == math.inf else value for name, value in asdict(figures).items()}

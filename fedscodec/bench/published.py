"""Published data: rate-distortion points with their sources, complexities, and the paper's tables.

`published.json` beside this file:

    datasets    name, and how many pictures the means are of (where that is known)
    curves      dataset, name, title, kind (classic or learned), source, bpp, psnr (RGB, dB), and where they are known
                ms_ssim (plain), encode_seconds, decode_seconds: arrays in step, in order of rate
    complexity  curve (its name), encode_seconds, decode_seconds, parameters, kmacs_per_pixel, hardware, source
    paper       Table 1 (seconds, percent over VVC, parameters) and Table 2 (10¹² multiply-accumulates at 2560×1440)

A curve is shown beside a measurement only where the pictures are the same, all of them.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..metrics.decibels import of_ms_ssim
from .curves import Curve

ANCHOR = "vtm-9.1"
"""The anchor of BD-rates, as in the paper's Table 1."""

SHOWN = ("vtm-9.1", "bpg-444", "av1", "cheng2020-attn", "elic", "tcm-s", "hpcm-large")
"""Published curves that a plot shows at first; more would hide the measured ones."""


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's Table 1. curve is the name of that method's published points, if there are any."""

    method: str
    encode_seconds: float
    decode_seconds: float
    bd_rate: float
    parameters: int | None = None
    curve: str | None = None


@dataclass(frozen=True)
class Complexity:
    """The cost of a published method, with its hardware and source."""

    curve: str
    hardware: str
    source: str
    encode_seconds: float
    decode_seconds: float
    parameters: int | None = None
    kmacs_per_pixel: float | None = None


@functools.cache
def _document() -> dict[str, Any]:
    text = files(__package__).joinpath("published.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def picture_count(dataset: str) -> int | None:
    """How many pictures the published means of a data set cover; None if that is not known."""
    found: list[int | None] = [entry.get("pictures") for entry in _document()["datasets"] if entry["name"] == dataset]
    return found[0] if found else None


@functools.cache
def curves(dataset: str) -> tuple[Curve, ...]:
    """All published curves of a data set, in the order of the file; empty for an unknown one."""
    return tuple(_curve(entry) for entry in _document()["curves"] if entry["dataset"] == dataset)


def comparable(dataset: str, pictures: int) -> tuple[Curve, ...]:
    """The published curves over exactly the pictures that were measured; none for another set or for a part of one."""
    return curves(dataset) if picture_count(dataset) == pictures else ()


def complexities() -> tuple[Complexity, ...]:
    """The costs of published methods."""
    return tuple(Complexity(**entry) for entry in _document()["complexity"])


def paper_table_1(dataset: str) -> tuple[PaperRow, ...]:
    """The rows of the paper's Table 1 for kodak, tecnick or clic2021; empty for other data sets."""
    return tuple(PaperRow(**row) for row in _document()["paper"]["table_1"].get(dataset, ()))


def paper_table_2() -> dict[str, float]:
    """Multiply-accumulates of a 2560×1440 picture by method, in 10¹² (the paper calls them FLOPs)."""
    return {row["method"]: row["tera_macs"] for row in _document()["paper"]["table_2"]}


def paper_hardware() -> str:
    """The hardware of the paper's seconds."""
    return str(_document()["paper"]["hardware"])


def _curve(entry: dict[str, Any]) -> Curve:
    quality: dict[str, tuple[float, ...]] = {"psnr": tuple(entry["psnr"])}
    if "ms_ssim" in entry:
        quality["ms_ssim"] = tuple(of_ms_ssim(value) for value in entry["ms_ssim"])
    encode, decode = (tuple(entry[key]) if key in entry else None for key in ("encode_seconds", "decode_seconds"))
    return Curve(
        entry["name"], entry["title"], entry["kind"], tuple(entry["bpp"]), quality, entry["source"],
        encode=encode, decode=decode,
    )  # fmt: skip

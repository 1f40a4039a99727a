"""results.json: the measurements of a benchmark as values; writing and reading them.

    {"format": "feds-results-2", "where": {}, "dataset": {}, "codecs": {key: {}}, "rows": [{}], "summaries": [{}]}

The keys inside are the fields of the classes below. A row is one picture at one setting of one codec. Strict JSON has
no infinity, so the decibels of a picture that came back without any error are null there, and `math.inf` here.
Summaries follow from the rows; they are written for those who read the file without this module. feds-results-1, which
is read too, had `psnr` and `ms_ssim` in place of `quality`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

from ..errors import FedsError

FORMAT, _EARLIER = "feds-results-2", "feds-results-1"
T = TypeVar("T")
LOSSLESS = 100.0
"""Decibels of a picture without error when averaged with others."""


@dataclass(frozen=True)
class Where:
    """The machine and the versions of the measurements."""

    feds: str
    torch: str
    device: str
    precision: str  # of the transforms: float32 or bfloat16
    threads: int
    cpu: str  # as the system calls it
    cpu_capability: str  # as torch calls it
    machine: str
    python: str
    date: str  # ISO 8601, UTC
    tools: dict[str, str] = field(default_factory=dict)  # what measured: version by name


@dataclass(frozen=True)
class Dataset:
    """The measured pictures, and how surely they are those of that name."""

    name: str
    pictures: int
    pixels: int
    checked: str = ""  # for instance "SHA-256 of the files", "names and sizes only"
    left_out: dict[str, str] = field(default_factory=dict)  # pictures that could not be read, and why


@dataclass(frozen=True)
class Codec:
    """One measured codec."""

    title: str  # "feds student", "JPEG"
    kind: str  # "feds" or "peer"
    version: str  # of the library that coded
    colour: str  # colour space and subsampling inside: "RGB", "YCbCr 4:2:0"
    setting: str = "quality"  # what the setting of its rows is called: quality, QP, distance
    options: str = ""  # what else was asked of it: "effort 7", "preset slow"
    memory: str = ""  # what peak_bytes of its rows holds
    parameters: int | None = None
    kmacs_per_pixel: float | None = None
    fingerprint: str | None = None
    role: str = ""  # of one of ours: teacher, distilled (from one), direct
    training: str = ""  # of one of ours: how long, and from what


@dataclass(frozen=True)
class Row:
    """One picture at one setting of one codec, encoded to real bytes and decoded from them."""

    codec: str  # key in Results.codecs
    picture: str
    width: int
    height: int
    setting: float
    bytes: int
    bpp: float
    quality: dict[str, float]  # by name of the metric; those that could not be measured are not there
    encode_seconds: float
    decode_seconds: float
    encode: dict[str, float]  # seconds of each stage
    decode: dict[str, float]
    estimated_bits: float | None = None  # −log₂ p of all symbols, where the codec is ours
    peak_bytes: int | None = None  # see Codec.memory
    worst_error: int | None = None  # of a sample, in levels of 255
    samples: str = ""  # first 16 digits of the SHA-256 of the picture's samples; older results lack it


@dataclass(frozen=True)
class Summary:
    """Means over the pictures for one codec at one setting."""

    codec: str
    setting: float
    pictures: int
    bpp: float
    quality: dict[str, float]  # means of the metrics that every row has
    encode_seconds: float
    decode_seconds: float
    encode: dict[str, float]
    decode: dict[str, float]
    bytes_over_estimate: float | None = None  # all bytes over all −log₂ p
    peak_bytes: int | None = None  # the largest


@dataclass(frozen=True)
class Results:
    """All measurements of one benchmark."""

    where: Where
    dataset: Dataset
    codecs: dict[str, Codec]
    rows: list[Row]
    summaries: list[Summary] = field(default_factory=list)
    matched: list[Row] = field(default_factory=list)  # peers at nearly our bytes, for the viewer; in no mean


def summarise(rows: Iterable[Row]) -> list[Summary]:
    """One summary for each codec and setting: codecs in their order, settings by mean rate."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.codec, row.setting), []).append(row)
    codecs = list(dict.fromkeys(codec for codec, _ in groups))
    return sorted((_mean(of) for of in groups.values()), key=lambda s: (codecs.index(s.codec), s.bpp))


def _mean_quality(values: list[float]) -> float:
    """The mean; a picture without error counts as 100 dB among others."""
    return values[0] if all(math.isinf(v) for v in values) else mean(min(value, LOSSLESS) for value in values)


def _mean(rows: list[Row]) -> Summary:
    estimates = [row.estimated_bits for row in rows if row.estimated_bits is not None]
    peaks = [row.peak_bytes for row in rows if row.peak_bytes is not None]
    known = [name for name in rows[0].quality if all(name in row.quality for row in rows)]
    return Summary(
        codec=rows[0].codec,
        setting=rows[0].setting,
        pictures=len(rows),
        bpp=mean(row.bpp for row in rows),
        quality={name: _mean_quality([row.quality[name] for row in rows]) for name in known},
        encode_seconds=mean(row.encode_seconds for row in rows),
        decode_seconds=mean(row.decode_seconds for row in rows),
        encode=_mean_stages([row.encode for row in rows]),
        decode=_mean_stages([row.decode for row in rows]),
        bytes_over_estimate=8 * sum(row.bytes for row in rows) / sum(estimates)
        if len(estimates) == len(rows)
        else None,
        peak_bytes=max(peaks, default=None),
    )


def _mean_stages(stages: list[dict[str, float]]) -> dict[str, float]:
    return {name: mean(s[name] for s in stages) for name in stages[0]}


def to_json(results: Results) -> str:
    """Results as strict JSON, with summaries computed from the rows."""
    document = {
        "format": FORMAT,
        "where": asdict(results.where),
        "dataset": asdict(results.dataset),
        "codecs": {key: asdict(codec) for key, codec in results.codecs.items()},
        "rows": [_plain(row) for row in results.rows],
        "summaries": [_plain(summary) for summary in summarise(results.rows)],
        "matched": [_plain(row) for row in results.matched],
    }
    return _by_lines(document) + "\n"


def _by_lines(document: dict[str, Any]) -> str:
    """JSON with a line for every field and every list item, so that diffs are readable and the file stays small."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            lines = ",\n  ".join(json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value)
            parts.append(f"{json.dumps(key)}: [\n  {lines}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}"


def _plain(figures: Row | Summary) -> dict[str, Any]:
    finite = {name: None if value == math.inf else value for name, value in figures.quality.items()}
    return {**asdict(figures), "quality": finite}


def from_json(text: str | bytes, *, name: str = "results.json") -> Results:
    """Results from JSON; summaries follow from the rows. Raises FedsError, about `name`, for anything else."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FedsError(f"{name}: expected JSON, found: {error}") from error
    found = document.get("format") if isinstance(document, dict) else type(document).__name__
    if found not in (FORMAT, _EARLIER):
        raise FedsError(f"{name}: expected format {FORMAT}, found {found}")
    try:
        rows = [_row(row) for row in document["rows"]]
        matched = [_row(row) for row in document.get("matched", [])]
        codecs = {key: _value(Codec, codec) for key, codec in document["codecs"].items()}
        where, dataset = _value(Where, document["where"]), _value(Dataset, document["dataset"])
    except (KeyError, TypeError, AttributeError) as error:
        raise FedsError(f"{name}: expected the fields of {FORMAT}, found: {error}") from error
    if missing := {row.codec for row in (*rows, *matched)} - set(codecs):
        raise FedsError(f"{name}: expected codecs for every row, found none for {', '.join(sorted(missing))}")
    return Results(where, dataset, codecs, rows, summarise(rows), matched)


def _value(kind: type[T], plain: Mapping[str, Any]) -> T:
    # Fields of later versions are passed over.
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in plain.items() if key in known})


def _row(plain: Mapping[str, Any]) -> Row:
    earlier = {key: plain[key] for key in ("psnr", "ms_ssim") if key in plain}
    quality = {key: math.inf if value is None else value for key, value in plain.get("quality", earlier).items()}
    return _value(Row, {**plain, "quality": quality} if quality else plain)


def read_results(path: Path) -> Results:
    """Results from a file, or from the results.json in a folder. Raises FedsError if there is no valid one."""
    path = path / "results.json" if path.is_dir() else path
    try:
        return from_json(path.read_bytes(), name=str(path))
    except OSError as error:
        raise FedsError(f"{path}: cannot be read ({error.strerror})") from error


def decoded_path(folder: Path, codec: str, setting: float | None, picture: str) -> Path:
    """The path of the decoded pixels of a picture below the folder of a run, for the viewer of its report.

    Lossless WebP: decoded/CODEC/SETTING/PICTURE.webp, and decoded/original/PICTURE.webp if setting is None. PICTURE is
    the whole name, because there may be an x.png beside an x.jpg.
    """
    inner = Path("original") if setting is None else Path(codec, f"{setting:g}")
    return folder / "decoded" / inner / f"{Path(picture).name}.webp"

"""The lines and tables that the commands print, made from values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..boxes import PIXELS, PREVIEW, preview_size
from ..fileformat import FedsFile, Header, read_header, unpack
from ..metrics.table import METRICS

if TYPE_CHECKING:
    from rich.table import Table

    from ..ablations.tables import Table as Ablated
    from ..batch.done import Done, Total
    from ..bench.rounding import Row
    from ..codec.verification import Verdict
    from ..images import Picture
    from ..networks.metadata import Counts
    from ..networks.spec import ModelSpec
    from ..registry import WeightsInfo
    from ..reports.comparison import Version

_FIGURES = (
    "bpp", "bytes", "px", "parameters", "cost", "latents", "slices", "dB", " s", "MiB", "PSNR", "SSIM", "SSIMU2",
    "butter", "error",
)  # fmt: skip
"""Endings of the names of columns that hold figures."""
_WIDE = 10_000  # columns, more than any table has


def encoded_line(data: bytes, model: str, seconds: float, measured: Mapping[str, float] | None = None) -> str:
    """The line of a file that was written: `23,456 bytes, 0.477 bpp, 50.3:1, q3 of student, 0.61 s` (`, 34.21 dB`)."""
    header = read_header(data)
    quality = _quality(header.quality / 1000, model, lossless=PIXELS in unpack(data, max_pixels=None).boxes)
    parts = _rate(header.width, header.height, header.grey, len(data)), quality, f"{seconds:.2f} s"
    return ", ".join([*parts, *_fidelity(measured or {})])


def _quality(quality: float, model: str, *, lossless: bool) -> str:
    return "without loss" if lossless else f"q{quality:g} of {model}"


def _fidelity(measured: Mapping[str, float]) -> Iterator[str]:
    yield from (METRICS[name].formatted(value) for name, value in measured.items())


def done_line(done: Done) -> str:
    """The line of one file of many, like `encoded_line` or `decoded_line`."""
    facts = done.facts
    if facts is None:
        return done.status
    quality = f"{_quality(facts.quality, facts.model, lossless=facts.lossless)}, {done.seconds:.2f} s"
    if done.status == "decoded":
        return f"{facts.width}x{facts.height} pixels, {quality}"
    rate = _rate(facts.width, facts.height, facts.grey, done.bytes_out)
    return ", ".join([rate, quality, *_fidelity(facts.measured)])


def total_line(total: Total, seconds: float) -> str:
    """The line of all files: `98 done, 4 up to date, 1 failed: 45,678 bytes became 2,345, 3.93 megapixels in 5.2 s,
    ...`.
    """
    counts = f"{total.done} done, {total.skipped} up to date, {total.failed} failed"
    if not total.done:
        return counts
    sizes = f"{total.bytes_in:,} bytes became {total.bytes_out:,}"
    pace = f"{total.megapixels:.2f} megapixels in {seconds:.1f} s, {total.megapixels / max(seconds, 1e-9):.3g} a second"
    return f"{counts}: {sizes}, {pace}"


def running_words(total: Total, seconds: float) -> str:
    """The text beside the bar: bytes so far, and the speed."""
    pace = f"{total.megapixels / max(seconds, 1e-9):.3g} MP/s"
    failed = f", {total.failed} failed" if total.failed else ""
    return f"{_short(total.bytes_in)} -> {_short(total.bytes_out)}, {pace}{failed}"


def total_record(total: Total, seconds: float) -> dict[str, float]:
    """The total as plain values for JSON."""
    return {**asdict(total), "megapixels": round(total.megapixels, 6), "seconds": round(seconds, 3)}


def _short(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def larger_line(source: str, before: float, after: int) -> str | None:
    """A warning if a file is larger than its source of `before` bytes."""
    if after <= before:
        return None
    return f"feds: {source}: became larger, {after:,} bytes from {before:,}"


def decoded_line(file: FedsFile, picture: Picture, model: str, seconds: float) -> str:
    """The line of a picture that was decoded: `768x512 pixels, q3 of student, 0.40 s`, or `256x171 of 768x512 pixels,
    ...`.
    """
    header = file.header
    quality = _quality(header.quality / 1000, model, lossless=PIXELS in file.boxes)
    whole, size = f"{header.width}x{header.height}", f"{picture.width}x{picture.height}"
    pixels = whole if size == whole else f"{size} of {whole}"
    return f"{pixels} pixels, {quality}, {seconds:.2f} s"


def preview_line(header: Header, picture: Picture) -> str:
    """The line of an extracted preview: `64x43 of 768x512 pixels, the preview in the file`."""
    return f"{picture.width}x{picture.height} of {header.width}x{header.height} pixels, the preview in the file"


def verdict_line(verdict: Verdict) -> str:
    """The line of `feds verify`: `a.feds: OK, 768x512 pixels, q3 of student, symbols 0123456789abcdef`, or a fault.

    A file without loss has no symbols; then it is `without loss, pixels 0123456789abcdef`.
    """
    if verdict.fault is not None:
        return f"{verdict.file}: FAILED: {' '.join(verdict.fault.split())}"
    quality = _quality(verdict.quality or 0.0, verdict.model or "", lossless=verdict.lossless)
    what, digest = ("pixels", verdict.pixels_sha256) if verdict.lossless else ("symbols", verdict.symbols_sha256)
    return f"{verdict.file}: OK, {verdict.width}x{verdict.height} pixels, {quality}, {what} {(digest or '')[:16]}"


def version_line(version: Version) -> str:
    """The line of a version of a picture: `JPEG 41: 23,456 bytes, 0.477 bpp, 30.10 dB`."""
    beyond = "" if version.fits else ", and cannot be smaller"
    return f"{version.label}: {len(version.data):,} bytes, {version.bpp:.3f} bpp, {version.error}{beyond}"


def _rate(width: int, height: int, grey: bool, size: int) -> str:
    # The ratio is to 8 bits a sample, of which a grey picture has one a pixel.
    pixels, samples = width * height, 1 if grey else 3
    return f"{size:,} bytes, {8 * size / pixels:.3f} bpp, {samples * pixels / size:.1f}:1"


def info_lines(file: FedsFile, size: int, models: list[str]) -> Iterator[str]:
    """The lines of `feds info` for a file of `size` bytes, with the installed models that decode it."""
    header = file.header
    yield f"size     {_rate(header.width, header.height, header.grey, size)}"
    yield f"picture  {header.width}x{header.height} pixels, {'grey' if header.grey else 'colour'}"
    yield f"model    {', '.join(models) or 'not installed'}, fingerprint {header.fingerprint.hex()}"
    yield "quality  without loss" if PIXELS in file.boxes else f"quality  q{header.quality / 1000:g}"
    if preview := _preview(file):
        yield f"preview  {preview['width']}x{preview['height']} pixels, WebP"
    for name, length in _parts(file, size).items():
        yield f"{name:<9}{length:>9,} bytes {length / size:>6.1%}"


def info_record(file: FedsFile, size: int, models: list[str]) -> dict[str, object]:
    """The same as plain values for JSON; `parts` are bytes, in the order of the file, and add up to `bytes`."""
    header, pixels = file.header, file.header.width * file.header.height
    return {
        "bytes": size, "bpp": 8 * size / pixels, "width": header.width, "height": header.height, "grey": header.grey,
        "quality": header.quality / 1000, "lossless": PIXELS in file.boxes, "fingerprint": header.fingerprint.hex(),
        "models": models, "checksum": f"{header.checksum:08x}", "preview": _preview(file), "parts": _parts(file, size),
    }  # fmt: skip


def _preview(file: FedsFile) -> dict[str, int] | None:
    size = preview_size(file.boxes.get(PREVIEW, b""))
    return None if size is None else {"width": size[0], "height": size[1]}


def _parts(file: FedsFile, size: int) -> dict[str, int]:
    lengths = file.header.stream_lengths
    parts = {"z": lengths[0]} | {f"slice {index}": length for index, length in enumerate(lengths[1:], start=1)}
    sizes = {kind: file.box_sizes.get(kind, len(payload)) for kind, payload in file.boxes.items()}
    parts |= {f"box {kind.decode().strip()}": length for kind, length in sizes.items()}
    return {"header": size - sum(parts.values()), **parts}


def _counts(info: WeightsInfo) -> Counts | None:
    from ..networks.metadata import counts_of

    try:
        return counts_of(info.metadata, info.spec)
    except ModuleNotFoundError:  # of a file that does not say it; counting takes torch
        return None


def model_record(info: WeightsInfo) -> dict[str, object]:
    """An installed network for --json: parameters in all, multiply-accumulates a pixel in thousands, λ of q1, q2, …"""
    counts = _counts(info)
    return {
        "name": info.name,
        "file": str(info.path),
        "bytes": info.bytes,
        "fingerprint": info.fingerprint,
        "metric": info.spec.metric,
        "lambdas": list(info.qualities),
        "parameters": counts and counts.parameters,
        "kmacs_per_pixel": counts and counts.kmacs_per_pixel,
    }


def models_table(found: Iterable[WeightsInfo]) -> Table:
    """A table of the installed networks: name, cost and path."""
    table = new_table("name", "qualities", "lambda", "parameters", "kMAC/px", "bytes", "fingerprint", "file")
    for info in found:
        lambdas = sorted({info.qualities[0], info.qualities[-1]})
        counts = _counts(info)
        size = (f"{counts.parameters / 1e6:.2f} M", f"{counts.kmacs_per_pixel:.0f}") if counts else ("–", "–")
        table.add_row(
            info.name,
            f"q1 ... q{len(info.qualities)}" if len(info.qualities) > 1 else "q1",
            " ... ".join(f"{value:g}" for value in lambdas),
            *size,
            f"{info.bytes:,}",
            info.fingerprint,
            str(info.path),
        )
    return table


def variants_table(variants: Mapping[str, ModelSpec]) -> Table:
    """A table of the networks that can be trained, and their cost."""
    from ..networks.counts import kmacs_per_pixel, parameters

    table = new_table("variant", "latents", "slices", "parameters", "kMAC/px")
    for name, spec in variants.items():
        counts = f"{parameters(spec) / 1e6:.2f} M", f"{kmacs_per_pixel(spec):.0f}"
        table.add_row(name, str(spec.latents), str(spec.streams), *counts)
    return table


def ablation_table(table: Ablated, minutes: float) -> Table:
    """The variants of an ablation: what they cost, how they are trained, and minutes at equal steps, by their MACs."""
    from ..ablations.plan import cost
    from ..networks.counts import kmacs_per_pixel, parameters
    from ..networks.spec import VARIANTS

    shown = new_table(
        table.name, "network", "parameters", "kMAC/px", "start", "recipe", "teacher", "minutes at equal steps"
    )
    most = max(cost(table, variant) for variant in table.variants)
    for variant in table.variants:
        spec, given = VARIANTS[variant.network], {**table.changes, **variant.changes}
        recipe = ", ".join([variant.recipe, *(f"{name} {value}" for name, value in given.items())])
        shown.add_row(
            variant.name, variant.network, f"{parameters(spec) / 1e6:.2f} M", f"{kmacs_per_pixel(spec):.0f}",
            variant.start, recipe, variant.teacher or "none", f"{minutes * cost(table, variant) / most:.0f}",
        )  # fmt: skip
    return shown


def rounding_table(rows: Iterable[Row]) -> Table:
    """A table of the rate of the floats, of their integers and of the file; the mean cost comes last."""
    table = new_table("picture", "quality", "float bpp", "integer bpp", "file bpp", "cost")
    costs = []
    for row in rows:
        costs.append(row.lost)
        rates = (f"{rate:.4f}" for rate in (row.float_bpp, row.integer_bpp, row.file_bpp))
        table.add_row(row.name, f"q{row.quality:g}", *rates, f"{row.lost:+.2%}")
    if costs:
        table.add_section()
        table.add_row("mean", "", "", "", "", f"{sum(costs) / len(costs):+.2%}")
    return table


def new_table(*names: str) -> Table:
    """A table with these columns in the common style; figures are right-aligned."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        numbers = name.endswith(_FIGURES)
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    return table


def print_table(table: Table) -> None:
    """Print a table to standard output, as wide as it is: a narrow terminal wraps lines, and no figure is cut."""
    from rich.console import Console

    console = Console(width=_WIDE, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:  # for where a pipe has no reader rich would end the process by itself
        console.print(table)
    print(capture.get(), end="")

"""The tables of `feds bench`: every codec at every setting, the time of each stage, and the settings of each codec."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..metrics.table import METRICS
from ..reports.figures import counted
from .printing import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from ..bench.results import Results


_TITLES = {"psnr": "PSNR", "ms_ssim": "MS dB", "ssimulacra2": "SSIMU2", "butteraugli": "butter"}  # in a terminal
_SHORT = {"quality": "q{:g}", "ratio": "{:g}:1"}  # 80 columns have to do


def codecs_table(results: Results) -> Table:
    """Means over the pictures, codec by codec, in order of rate; with the number of pictures if some codecs lack some.

    PSNR and MS-SSIM are in decibels.
    """
    whole = all(summary.pictures == results.dataset.pictures for summary in results.summaries)
    metrics = [name for name in _TITLES if any(name in summary.quality for summary in results.summaries)]
    names = (
        "codec",
        "at",
        "bpp",
        *(_TITLES[name] for name in metrics),
        "enc s",
        "dec s",
        "MiB",
    )
    made = new_table(*names, *(() if whole else ("pictures",)))
    last = ""
    for row in results.summaries:
        codec = results.codecs[row.codec]
        if row.codec != last:
            made.add_section()
        cells = (
            codec.title if row.codec != last else "",
            _SHORT.get(codec.setting, codec.setting + " {:g}").format(row.setting),
            f"{row.bpp:.4f}",
            *(_figure(row.quality.get(name), name) for name in metrics),
            f"{row.encode_seconds:.3f}",
            f"{row.decode_seconds:.3f}",
            "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}",
        )
        made.add_row(*cells, *(() if whole else (str(row.pictures),)))
        last = row.codec
    return made


def _figure(value: float | None, metric: str) -> str:
    if value is None:
        return ""
    height = METRICS[metric].height(value) if metric == "ms_ssim" else value
    return "no error" if height == math.inf else f"{height:.2f}"


def pictures_table(results: Results, key: str) -> Table:
    """Every picture at every setting of one codec: PSNR, and the worst error of a sample in levels of 255."""
    made = new_table("picture", "at", "bytes", "bpp", "PSNR dB", "worst error")
    codec, last = results.codecs[key], ""
    for row in (row for row in results.rows if row.codec == key):
        if row.picture != last:
            made.add_section()
        setting = _SHORT.get(codec.setting, codec.setting + " {:g}").format(row.setting)
        psnr, error = _figure(row.quality["psnr"], "psnr"), "" if row.worst_error is None else str(row.worst_error)
        made.add_row(
            row.picture if row.picture != last else "", setting, f"{row.bytes:,}", f"{row.bpp:.3f}", psnr, error
        )
        last = row.picture
    return made


def stage_lines(results: Results) -> Iterator[str]:
    """For our networks: bytes relative to the estimate of the integer tables, and the seconds of every stage."""
    for row in results.summaries:
        codec = results.codecs[row.codec]
        if codec.kind == "feds":
            over = "" if row.bytes_over_estimate is None else f"{row.bytes_over_estimate:.4f} bytes / estimate; "
            stages = f"encode: {_stages(row.encode)}; decode: {_stages(row.decode)}"
            yield f"{codec.title} q{row.setting:g}: {over}{stages}"


def _stages(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in seconds.items())


def codec_lines(results: Results) -> Iterator[str]:
    """One line per codec: version, colours, options, and what its memory figure covers."""
    for codec in results.codecs.values():
        told = (codec.version, codec.colour, codec.options, codec.memory and f"peak: {codec.memory}")
        yield f"{codec.title}: {', '.join(word for word in told if word)}"


def where_line(results: Results) -> str:
    """One line on the machine and the pictures."""
    where, dataset = results.where, results.dataset
    on = f"{where.cpu}, {where.cpu_capability}, {counted(where.threads, 'thread')}, torch {where.torch}"
    device = "" if where.device == "cpu" else f", {where.device}"
    checked = f" ({dataset.checked})" if dataset.checked else ""
    pictures = f"{dataset.name}: {counted(dataset.pictures, 'picture')}{checked}"
    return f"{pictures}; {on}{device}, transforms in {where.precision}"

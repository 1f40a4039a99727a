"""What `feds bench` prints: every codec at every setting, where our seconds went, and what each was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .report import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from ..bench.results import Results


_SHORT = {"quality": "q{:g}", "ratio": "{:g}:1"}  # 80 columns have to do


def codecs_table(results: Results) -> Table:
    """Means over the pictures, codec by codec, in order of rate; how many pictures, where some lack some."""
    whole = all(summary.pictures == results.dataset.pictures for summary in results.summaries)
    names = ("codec", "at", "bpp", "PSNR dB", "SSIM dB", "encode s", "decode s", "MiB")
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
            _decibels(row.psnr),
            _decibels(row.ms_ssim_db),
            f"{row.encode_seconds:.3f}",
            f"{row.decode_seconds:.3f}",
            "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}",
        )
        made.add_row(*cells, *(() if whole else (str(row.pictures),)))
        last = row.codec
    return made


def _decibels(value: float) -> str:
    return "no error" if value == math.inf else f"{value:.2f}"


def stage_lines(results: Results) -> Iterator[str]:
    """For our networks: bytes over what the integer tables promise, and the seconds of every stage."""
    for row in results.summaries:
        codec = results.codecs[row.codec]
        if codec.kind == "feds":
            over = "" if row.bytes_over_estimate is None else f"{row.bytes_over_estimate:.4f} bytes / estimate; "
            stages = f"encode: {_stages(row.encode)}; decode: {_stages(row.decode)}"
            yield f"{codec.title} q{row.setting:g}: {over}{stages}"


def _stages(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in seconds.items())


def codec_lines(results: Results) -> Iterator[str]:
    """What each codec was asked for, a line each: version, colours, options, and what its memory is."""
    for codec in results.codecs.values():
        told = (codec.version, codec.colour, codec.options, codec.memory and f"peak: {codec.memory}")
        yield f"{codec.title}: {', '.join(word for word in told if word)}"


def where_line(results: Results) -> str:
    """The machine and the pictures, in a line."""
    where, dataset = results.where, results.dataset
    on = f"{where.cpu}, {where.cpu_capability}, {counted(where.threads, 'thread')}, torch {where.torch}"
    device = "" if where.device == "cpu" else f", {where.device}"
    checked = f" ({dataset.checked})" if dataset.checked else ""
    pictures = f"{dataset.name}: {counted(dataset.pictures, 'picture')}{checked}"
    return f"{pictures}; {on}{device}, transforms in {where.precision}"


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

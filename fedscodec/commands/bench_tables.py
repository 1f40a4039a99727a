"""The tables that `feds bench` prints: every codec at every setting, and where our seconds went."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .report import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from ..bench.results import Results


def codecs_table(results: Results) -> Table:
    """Means over the pictures, codec by codec, in order of rate."""
    made = new_table("codec", "setting", "pictures", "bpp", "PSNR", "MS-SSIM", "encode s", "decode s", "peak MiB")
    last = ""
    for row in results.summaries:
        codec = results.codecs[row.codec]
        if row.codec != last:
            made.add_section()
        made.add_row(
            codec.title if row.codec != last else "",
            f"{'q' if codec.kind == 'feds' else codec.setting + ' '}{row.setting:g}",
            str(row.pictures),
            f"{row.bpp:.4f}",
            _decibels(row.psnr),
            _decibels(row.ms_ssim_db),
            f"{row.encode_seconds:.3f}",
            f"{row.decode_seconds:.3f}",
            "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}",
        )
        last = row.codec
    return made


def _decibels(value: float) -> str:
    return "no error" if value == math.inf else f"{value:.2f} dB"


def stages_table(results: Results) -> Table:
    """For our networks: bytes over what the integer tables promise, and the seconds of every stage."""
    made = new_table("codec", "setting", "bytes / estimate", "encode", "decode")
    for row in results.summaries:
        if results.codecs[row.codec].kind == "feds":
            over = "" if row.bytes_over_estimate is None else f"{row.bytes_over_estimate:.4f}"
            title = results.codecs[row.codec].title
            made.add_row(title, f"q{row.setting:g}", over, _stages(row.encode), _stages(row.decode))
    return made


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
    on = f"{where.cpu}, {where.cpu_capability}, {where.threads} threads, torch {where.torch}"
    device = "" if where.device == "cpu" else f", {where.device}"
    checked = f" ({dataset.checked})" if dataset.checked else ""
    return f"{dataset.name}: {dataset.pictures} pictures{checked}; {on}{device}, transforms in {where.precision}"

"""The entropy analysis as files: an HTML page, JSON, figures as SVG, heatmaps as PNG."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..files.outputs import require_writable, write_file
from ..images import picture_bytes
from . import charts, plots
from .figures import counted, signed
from .heatmaps import DOWN, Entropy, heatmap, levels, palette, require_ranks
from .tables import Line, Table
from .templates import Html, fill
from .viewer import embed

FORMAT = "feds-entropy-1"
_SIDE, _GAP = 210, 10


def write(
    found: Sequence[Entropy], folder: Path, ranks: tuple[int, ...], *, every: bool = False, force: bool = False
) -> list[Path]:  # fmt: skip
    """Write the analysis of some pictures into a folder, which is created; return the files, the page first.

    ranks: channels with heatmaps in the figure; with `every`, writes a PNG of all channels. Raises OutputError, before
    anything is written, if one of the files exists and `force` is not set.
    """
    ranks = require_ranks(ranks, len(found[0].maps))
    made = {
        "entropy.html": render(found, ranks).encode(),
        "entropy.json": (json.dumps(document(found), indent=1) + "\n").encode(),
        "entropy.svg": figure(found, ranks).encode(),
        "cumulative.svg": plots.alone(_cumulative(found)),
    }
    for entropy in found:
        for rank in range(1, len(entropy.maps) + 1) if every else ranks:
            made[_map_name(entropy, rank)] = picture_bytes(_map(entropy, rank, DOWN), "png")
    for name in made:
        require_writable(folder / name, force=force, folder_is_made=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "maps").mkdir(exist_ok=True)
    for name, data in made.items():
        write_file(folder / name, data, force=True)
    return [folder / name for name in made]


def figure(found: Sequence[Entropy], ranks: Sequence[int]) -> str:
    """The layout of Fig. 11 as SVG: a row for each picture, followed by heatmaps of some channels of its ranking."""
    drawn, top = [], 0.0
    for entropy in found:
        height = _SIDE * entropy.picture.height / entropy.picture.width
        cells = [(entropy.name, picture_bytes(entropy.picture, "jpg"))]
        for rank in ranks:
            channel = int(entropy.ranking[rank - 1])
            most = float(entropy.seen(entropy.maps[channel]).max())
            words = f"rank {rank}: mean {entropy.means[channel]:.2f} bits, lightest {most:.2g}"
            cells.append((words, picture_bytes(_map(entropy, rank), "png")))
        for column, (words, data) in enumerate(cells):
            left = column * (_SIDE + _GAP)
            drawn.append(f'<text x="{left}" y="{top + 14:.1f}">{escape(words)}</text>')
            drawn.append(
                f'<image x="{left}" y="{top + 20:.1f}" width="{_SIDE}" height="{height:.1f}" href="{embed(data)}" '
                f'style="image-rendering: {"auto" if column == 0 else "pixelated"}" preserveAspectRatio="none"/>'
            )
        top += height + 30
    size = f'viewBox="0 0 {(len(ranks) + 1) * (_SIDE + _GAP) - _GAP} {top:.0f}"'
    style = "<style>text { font: 12px system-ui, sans-serif; fill: #5c646c }</style>"
    label = 'role="img" aria-label="Bits of some channels over the picture, each map from 0 to its own maximum"'
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    opened = f'<svg {size} {label} xmlns="http://www.w3.org/2000/svg">{style}{paper}'
    return "\n".join([opened, *drawn, "</svg>\n"])


def _cumulative(found: Sequence[Entropy]) -> str:
    return charts.cumulative([(entropy.name, entropy.cumulative.tolist()) for entropy in found])


def document(found: Sequence[Entropy]) -> dict[str, Any]:
    """The content of entropy.json: the bits of each picture, and the mean and share of each channel, by rank."""
    return {"format": FORMAT, "pictures": [_figures(entropy) for entropy in found]}


def _figures(entropy: Entropy) -> dict[str, Any]:
    channels = [
        {"rank": rank, "channel": int(channel), "slice": entropy.slice_of(int(channel)),
         "bits_per_latent": round(float(entropy.means[channel]), 6), "cumulative_share": round(float(share), 6)}
        for rank, (channel, share) in enumerate(zip(entropy.ranking, entropy.cumulative, strict=True), start=1)
    ]  # fmt: skip
    return {
        "picture": entropy.name, "model": entropy.model, "quality": entropy.quality, "file_bytes": entropy.file_bytes,
        "bits": round(entropy.bits, 1), "z_bits": round(entropy.z_bits, 1), "channels": channels,
    }  # fmt: skip


def render(found: Sequence[Entropy], ranks: tuple[int, ...]) -> str:
    """The page: every picture with a slider through its channels, and how the bits spread over them."""
    return fill(
        "entropy.html",
        ("entropy.js",),
        title=f"Where the {found[0].model} spends its bits",
        subtitle=f"{counted(len(found), 'picture')} at q{found[0].quality:g}",
        sections=(("main", "Pictures"), ("channels", "Channels")),
        pictures=[_picture(entropy, ranks) for entropy in found],
        palette=base64.b64encode(palette().tobytes()).decode(),
        cumulative=Html(_cumulative(found)),
        tables=[_table(entropy) for entropy in found],
    )


def _picture(entropy: Entropy, ranks: tuple[int, ...]) -> dict[str, Any]:
    width, height = entropy.picture.width, entropy.picture.height
    strip = [
        {"rank": rank, "words": _words(entropy, rank), "source": embed(picture_bytes(_map(entropy, rank), "png"))}
        for rank in ranks
    ]
    return {
        "name": entropy.name, "width": width, "height": height, "strip": strip,
        "room": round(2 * 560 * min(1.0, width / height)) + 14,  # of both side by side, on a screen
        "source": embed(picture_bytes(entropy.picture, "jpg")), "facts": _facts(entropy), "data": _data(entropy),
    }  # fmt: skip


def _facts(entropy: Entropy) -> list[tuple[str, str]]:
    ratio = f"{signed(100 * (8 * entropy.file_bytes / entropy.bits - 1), '.2f')} %"
    silent = int((entropy.means < 0.01).sum())
    return [
        (f"{entropy.file_bytes:,} bytes", f"on disk, {ratio} against the sum of these maps"),
        (f"{entropy.channels_for(0.5)} channels", f"of {len(entropy.maps)} hold half of the bits of y"),
        (f"{entropy.channels_for(0.9)} channels", "hold nine tenths of them"),
        (f"{silent} channels", "cost less than a hundredth of a bit a latent"),
    ]


def _words(entropy: Entropy, rank: int) -> str:
    channel = int(entropy.ranking[rank - 1])
    share = entropy.means[channel] / max(float(entropy.means.sum()), 1e-12)
    where = f"channel {channel}, slice {entropy.slice_of(channel)}"
    return f"{where}: {entropy.means[channel]:.3f} bits a latent, {100 * share:.2f} % of y"


def _data(entropy: Entropy) -> Html:
    """Data for the script: the maps in order of rank as bytes, the sum of all first, and how many bits 255 means."""
    shown = [entropy.seen(entropy.total), *(entropy.seen(entropy.maps[channel]) for channel in entropy.ranking)]
    tops = [max(float(values.max()), 1e-9) for values in shown]
    packed = np.stack([levels(values, top) for values, top in zip(shown, tops, strict=True)])
    words = ["all channels", *(_words(entropy, rank) for rank in range(1, len(shown)))]
    rows, columns = shown[0].shape
    return Html(json.dumps({
        "rows": rows, "columns": columns, "tops": [round(top, 4) for top in tops], "words": words,
        "maps": base64.b64encode(packed.tobytes()).decode(),
    }))  # fmt: skip


def _map(entropy: Entropy, rank: int, scale: int = 1) -> Any:
    values = entropy.seen(entropy.maps[entropy.ranking[rank - 1]])
    return heatmap(values, float(values.max()), scale)


def _map_name(entropy: Entropy, rank: int) -> str:
    return f"maps/{Path(entropy.name).stem}-rank{rank:03}-channel{int(entropy.ranking[rank - 1]):03}.png"


def _table(entropy: Entropy) -> Table:
    lines = tuple(
        Line((f"{entry['rank']}", f"{entry['channel']}", f"{entry['slice']}", f"{entry['bits_per_latent']:.4f}",
              f"{100 * entry['cumulative_share']:.2f} %"))
        for entry in _figures(entropy)["channels"]
    )  # fmt: skip
    columns = ("rank", "channel", "slice", "bits a latent", "cumulative share")
    return Table(f"channels-{entropy.name}", f"Channels of {entropy.name}", columns, lines)

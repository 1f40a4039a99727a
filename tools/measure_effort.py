"""Measure what effort gives: real files of every level, decoded by the ordinary decoder, against those of effort 0.

    python tools/measure_effort.py PICTURE... --model student --out results/effort/student.json
    python tools/measure_effort.py --model student --out results/effort/student.json        # the table again

A file that is there is gone on with: what it has is not measured again, so that a run can be stopped and resumed, and
pictures can be added. With --crop N a square of that side is taken out of the middle of each. Prints a Markdown table
for docs/effort.md: BD-rates are over the means of those pictures that have all levels and qualities, and saved is the
difference in R + λ·D, in percent of the bits at effort 0. Seconds are those of one processor core. Older files have no
SSIMULACRA2.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
import torch

from fedscodec.bench.bd import bd_rate
from fedscodec.bench.curves import Curve
from fedscodec.codec.effort.judging import cost
from fedscodec.codec.effort.levels import MOST_EFFORT, STEPS
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import Model, load_model
from fedscodec.codec.settings import Encoding
from fedscodec.images import Picture, read_picture
from fedscodec.metrics.table import METRICS


class Row(NamedTuple):
    """One file."""

    picture: str
    quality: float
    effort: int
    pixels: int
    bytes: int
    psnr: float
    ms_ssim: float
    cost: float  # R + λ·D in bits
    seconds: float  # of a processor core
    ssimulacra2: float | None = None


MEASURED = ("psnr", "ms_ssim", "ssimulacra2")


def middle(picture: Picture, side: int | None) -> Picture:
    """A square out of the middle of a picture, or all of it."""
    if side is None:
        return Picture(picture.pixels, picture.grey)
    top, left = (max(length - side, 0) // 2 for length in (picture.height, picture.width))
    return Picture(np.ascontiguousarray(picture.pixels[top : top + side, left : left + side]), picture.grey)


def measured(picture: Picture, name: str, model: Model, quality: float, effort: int) -> Row:
    """A file of a picture, written and read."""
    begin = time.process_time()
    encoded = encode_picture(picture, model, Encoding(quality=quality, effort=effort))
    seconds = time.process_time() - begin
    shown = model.decode(encoded.data).pixels
    psnr, ms_ssim, ssimulacra2 = (METRICS[metric].measure(picture.pixels, shown) for metric in MEASURED)
    pixels, size, spent = picture.width * picture.height, len(encoded.data), cost(encoded, picture, model)
    return Row(name, quality, effort, pixels, size, psnr, ms_ssim, spent, round(seconds, 3), ssimulacra2)


def complete(rows: Sequence[Row]) -> list[Row]:
    """Rows of those pictures that have all qualities and efforts that any has."""
    wanted = {(row.quality, row.effort) for row in rows}
    of: dict[str, set[tuple[float, int]]] = {}
    for row in rows:
        of.setdefault(row.picture, set()).add((row.quality, row.effort))
    return [row for row in rows if of[row.picture] == wanted]


def in_all(rows: Sequence[Row]) -> list[str]:
    """The metrics that all rows have."""
    return [name for name in MEASURED if all(getattr(row, name) is not None for row in rows)]


def curve(rows: Sequence[Row], effort: int) -> Curve:
    """Means over the pictures at every quality, of what all rows have."""
    points = [
        [row for row in rows if (row.effort, row.quality) == (effort, quality)]
        for quality in sorted({row.quality for row in rows})
    ]
    heights = {
        name: tuple(METRICS[name].height(mean(getattr(row, name) for row in point)) for point in points)
        for name in in_all(rows)
    }
    bpp = tuple(mean(8 * row.bytes / row.pixels for row in point) for point in points)
    return Curve(f"effort {effort}", f"effort {effort}", "feds", bpp, heights, "")


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the Markdown table."""
    rows = complete(rows)
    qualities, efforts = sorted({row.quality for row in rows}), sorted({row.effort for row in rows})
    plain = {(row.picture, row.quality): row for row in rows if row.effort == 0}
    at, metrics = ", ".join(f"q{quality:g}" for quality in qualities), in_all(rows)
    titles = " | ".join(METRICS[metric].title for metric in metrics)
    yield f"| effort | steps | s a megapixel | BD-rate, {titles} | saved at {at} |"
    yield "|" + " --: |" * (4 + len(metrics))
    for effort in efforts:
        of = [row for row in rows if row.effort == effort]
        pace = sum(row.seconds for row in of) / sum(row.pixels for row in of) * 1e6
        rates, saved = [""] * len(metrics), ""
        if effort:
            rates = [f"{bd_rate(curve(rows, 0), curve(rows, effort), m).percent:+.1f} %" for m in metrics]
            shares = [
                mean(
                    100 * (row.cost - plain[row.picture, quality].cost) / (8 * plain[row.picture, quality].bytes)
                    for row in of
                    if row.quality == quality
                )
                for quality in qualities
            ]
            saved = ", ".join(f"{share:+.1f}" for share in shares) + " %"
        yield f"| {effort} | {STEPS[effort]} | {pace:.1f} | {' | '.join(rates)} | {saved} |"
    yield ""
    yield f"{len({row.picture for row in rows})} pictures: {', '.join(dict.fromkeys(row.picture for row in rows))}"


def effort_of(text: str) -> int:
    """An effort. Raises ArgumentTypeError for anything else, which argparse shows as wrong usage."""
    with suppress(ValueError):
        if 0 <= (effort := int(text)) <= MOST_EFFORT:
            return effort
    raise argparse.ArgumentTypeError(f"expected efforts in 0..{MOST_EFFORT}, found {text}")


def main() -> None:
    """Measure what is missing, keep it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="*")
    parser.add_argument("--model", default="student")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--efforts", type=effort_of, nargs="+", default=[0, 1, 3, 5, 7, 9])
    parser.add_argument("--qualities", type=float, nargs="+", default=[1, 2, 3, 4, 5, 6, 7])
    parser.add_argument("--crop", type=int, help="side of a square out of the middle of each picture")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model)
    about = {"fingerprint": model.fingerprint.hex(), "steps": list(STEPS), "crop": args.crop or 0}
    kept = json.loads(args.out.read_text()) if args.out.exists() else {**about, "rows": []}
    if changed := [name for name, value in about.items() if kept[name] != value and args.pictures]:
        raise SystemExit(f"{args.out} was measured with another {changed[0]}: {kept[changed[0]]}")
    rows = [Row(*row) for row in kept["rows"]]
    done = {(row.picture, row.quality, row.effort) for row in rows}
    plain = {(path.name, quality, 0) for path, quality in product(args.pictures, args.qualities)}
    if 0 not in args.efforts and not plain <= done:
        asked = " ".join(map(str, args.efforts))
        parser.error(f"expected 0 among --efforts, as what the others are compared with, found {asked}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for path in args.pictures:
        picture = middle(read_picture(path), args.crop)
        for quality, effort in product(args.qualities, args.efforts):
            if (path.name, quality, effort) in done:
                continue
            rows.append(measured(picture, path.name, model, quality, effort))
            lines = ",\n".join(json.dumps(list(row)) for row in rows)
            args.out.write_text(json.dumps({**about, "rows": None}).replace("null}", f"[\n{lines}\n]}}\n"))
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()

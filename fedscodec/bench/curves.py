"""Rate-distortion curves, measured here or published by others.

Both are means over the same pictures: of bits per pixel, and of metrics. A curve holds metrics as heights, where more
is better. MS-SSIM is in decibels of the mean, because the published points are means of the plain value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ..metrics.table import METRICS
from .results import Results, summarise

Kind = Literal["feds", "peer", "classic", "learned"]
"""feds and peer are measured here; classic and learned are published."""


@dataclass(frozen=True)
class Curve:
    """One codec on one set of pictures; all tuples run in parallel, with points in order of rate.

    quality holds the heights of each known metric by name (see `Metric.height`). encode and decode are mean seconds per
    picture, None if nobody measured them.
    """

    name: str
    title: str
    kind: Kind
    bpp: tuple[float, ...]
    quality: dict[str, tuple[float, ...]]
    source: str
    settings: tuple[float, ...] = ()
    encode: tuple[float, ...] | None = None
    decode: tuple[float, ...] | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it comes from files of this run."""
        return self.kind in ("feds", "peer")

    def points(self, metric: str) -> list[tuple[float, float]]:
        """(bits per pixel, height) in order of rate; empty if the metric is not known."""
        return list(zip(self.bpp, self.quality.get(metric, ()), strict=False))


def measured_curves(results: Results) -> list[Curve]:
    """A curve for each codec of a run, in its order.

    Settings without all of the pictures, as after Ctrl-C, are left out, and so is a codec without any other settings:
    means over different pictures are not points of one curve.
    """
    curves = (_measured(results, key) for key in results.codecs)
    return [curve for curve in curves if curve.bpp]


def _measured(results: Results, key: str) -> Curve:
    codec, whole = results.codecs[key], results.dataset.pictures
    of = [s for s in results.summaries if s.codec == key and s.pictures == whole]
    known = [name for name in METRICS if of and all(name in summary.quality for summary in of)]
    quality = {name: tuple(METRICS[name].height(summary.quality[name]) for summary in of) for name in known}
    return Curve(
        key, codec.title, "feds" if codec.kind == "feds" else "peer", tuple(summary.bpp for summary in of), quality,
        f"measured here, {codec.version}", tuple(summary.setting for summary in of),
        tuple(summary.encode_seconds for summary in of), tuple(summary.decode_seconds for summary in of),
    )  # fmt: skip


def picture_curves(results: Results, picture: str) -> list[Curve]:
    """A curve for each codec over one picture only."""
    rows = [row for row in results.rows if row.picture == picture]
    alone = replace(results, dataset=replace(results.dataset, pictures=1), rows=rows, summaries=summarise(rows))
    return measured_curves(alone)


def known_metrics(curves: Iterable[Curve]) -> list[str]:
    """The metrics of the measured curves, in the order of the table; PSNR if there is none."""
    measured = [curve for curve in curves if curve.is_measured]
    return [name for name in METRICS if any(curve.quality.get(name) for curve in measured)] or ["psnr"]

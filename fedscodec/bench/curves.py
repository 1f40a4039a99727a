"""Rate-distortion curves: what was measured here, what others published, and what a curve is.

Both are means over the same pictures: of bits per pixel, of PSNR over RGB, of MS-SSIM. MS-SSIM in decibels is that of
the mean, as the published points are means of the plain figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from .results import Results, summarise

Metric = Literal["psnr", "ms_ssim"]
METRICS: tuple[Metric, ...] = ("psnr", "ms_ssim")
AXIS: dict[Metric, str] = {"psnr": "PSNR (RGB), dB", "ms_ssim": "MS-SSIM, dB"}
SHORT: dict[Metric, str] = {"psnr": "PSNR", "ms_ssim": "MS-SSIM"}

Kind = Literal["feds", "peer", "classic", "learned"]
"""feds and peer are measured here; classic and learned are published."""


@dataclass(frozen=True)
class Curve:
    """One codec on one set of pictures; all tuples are in step, points in order of rate.

    quality holds decibels for each metric that is known. encode and decode are mean seconds a picture, None where
    nobody measured them.
    """

    name: str
    title: str
    kind: Kind
    bpp: tuple[float, ...]
    quality: dict[Metric, tuple[float, ...]]
    source: str
    settings: tuple[float, ...] = ()
    encode: tuple[float, ...] | None = None
    decode: tuple[float, ...] | None = None

    @property
    def is_measured(self) -> bool:
        """Whether it comes from files of this run."""
        return self.kind in ("feds", "peer")

    def points(self, metric: Metric) -> list[tuple[float, float]]:
        """(bits per pixel, decibels) in order of rate; none where the metric is not known."""
        return list(zip(self.bpp, self.quality.get(metric, ()), strict=False))


def measured_curves(results: Results) -> list[Curve]:
    """A curve for each codec of a run, in its order.

    Settings that do not have all of its pictures, as after Ctrl-C, are left out, and a codec without any others too:
    means over other pictures are not points of one curve.
    """
    curves = (_measured(results, key) for key in results.codecs)
    return [curve for curve in curves if curve.bpp]


def _measured(results: Results, key: str) -> Curve:
    codec, whole = results.codecs[key], results.dataset.pictures
    of = [s for s in results.summaries if s.codec == key and s.pictures == whole]
    quality: dict[Metric, tuple[float, ...]] = {
        "psnr": tuple(summary.psnr for summary in of),
        "ms_ssim": tuple(summary.ms_ssim_db for summary in of),
    }
    return Curve(
        key, codec.title, "feds" if codec.kind == "feds" else "peer", tuple(summary.bpp for summary in of), quality,
        f"measured here, {codec.version}", tuple(summary.setting for summary in of),
        tuple(summary.encode_seconds for summary in of), tuple(summary.decode_seconds for summary in of),
    )  # fmt: skip


def picture_curves(results: Results, picture: str) -> list[Curve]:
    """A curve for each codec over one picture alone."""
    rows = [row for row in results.rows if row.picture == picture]
    alone = replace(results, dataset=replace(results.dataset, pictures=1), rows=rows, summaries=summarise(rows))
    return measured_curves(alone)

"""The table of metrics: source of the bench's rows, curves, BD-rates, targets, options and losses.

A new metric is one new entry. Its packages are loaded when it measures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..version import __version__
from .decibels import of_ms_ssim, psnr_of, squared_error_at

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Loss:
    """A metric as a loss for training: R + λ·loss, with R in bits per pixel.

    `name` is used in weights files and by --metric; `lambdas` are those of q1 … q7 (for SSIMULACRA2 the slopes of rate
    over score at these qualities of a student trained for MSE); `of` takes pictures [B, 3, H, W] in 0..1, the original
    first, and gives [B]; crops have sides of at least `crop` pixels.
    """

    name: str
    lambdas: tuple[float, ...]
    of: Callable[[Tensor, Tensor], Tensor]
    crop: int = 64


@dataclass(frozen=True)
class Metric:
    """A measure of the difference between a decoded picture and its original.

    `name` is its key in results.json and its argument in Python. `cost` turns a value into a loss (0 for no loss),
    `value` turns it back. `height` is the position of a mean on the axis of a plot and in a BD-rate; more is better.
    `target` is the help of its option, if it can be a target. `missing` says how to get what it needs, if that is not
    installed.
    """

    name: str
    title: str
    unit: str
    digits: int
    measure: Callable[[Pixels, Pixels], float]
    cost: Callable[[float], float]
    value: Callable[[float], float]
    about: str
    axis: str
    height: Callable[[float], float] = float
    lower_is_better: bool = False
    most: float = math.inf  # of a target
    target: str = ""
    example: float = 0.0  # of a target
    loss: Loss | None = None
    missing: Callable[[], str | None] = lambda: None
    version: Callable[[], str] = lambda: f"feds {__version__}"  # of what measures
    effort: float = 0.0  # seconds for a megapixel, about

    @property
    def option(self) -> str:
        """Its name on a command line, without the leading dashes."""
        return self.name.replace("_", "-")

    def formatted(self, value: float) -> str:
        """A value in words: `34.21 dB`, `MS-SSIM 0.9800`; `no error` for an infinite value."""
        figure = self.figure(value)
        return figure if self.unit else f"{self.title} {figure}"

    def figure(self, value: float) -> str:
        """A value with its unit only: `34.21 dB`, `0.9800`."""
        if math.isinf(value):
            return "no error"
        return f"{value:.{self.digits}f}" + (f" {self.unit}" if self.unit else "")

    def formatted_at(self, height: float) -> str:
        """The value at a height of its axis, in words; MS-SSIM in decibels."""
        if self.lower_is_better:
            return self.formatted(-height)
        return f"{height:.2f} dB" if self.axis.endswith("dB") else self.formatted(height)

    def asked(self, value: float) -> str:
        """A target in words: `36 dB`, `MS-SSIM 0.98`."""
        return f"{value:g} {self.unit}" if self.unit == "dB" else f"{self.title} {value:g}"


def _psnr(a: Pixels, b: Pixels) -> float:
    from .psnr import psnr

    return psnr(a, b)


def _psnr_ycbcr(a: Pixels, b: Pixels) -> float:
    from .psnr import psnr_ycbcr

    return psnr_ycbcr(a, b)


def _squared_error_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    return 255**2 * (x_hat - x).square().mean((1, 2, 3))


def _ms_ssim(a: Pixels, b: Pixels) -> float:
    from .ms_ssim import ms_ssim

    return ms_ssim(a, b)


def _ms_ssim_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    from .ms_ssim import of_batch

    return 1 - of_batch(x, x_hat, mirrored=True)


def _ssimulacra2(a: Pixels, b: Pixels) -> float:
    from .ssimulacra2 import of_samples

    return of_samples(a, b)


_SLOPES = (0.004, 0.0065, 0.011, 0.018, 0.03, 0.043, 0.057)  # λ, with a point of SSIMULACRA2 as the unit of loss


def _ssimulacra2_loss(x: Tensor, x_hat: Tensor) -> Tensor:
    from .ssimulacra2 import ssimulacra2

    return 100 - ssimulacra2(x, x_hat)


def _butteraugli(a: Pixels, b: Pixels) -> float:
    from .butteraugli import butteraugli

    return butteraugli(a, b)


def _without_butteraugli() -> str | None:
    from .butteraugli import missing

    return missing()


def _butteraugli_version() -> str:
    from .butteraugli import version

    return version()


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr", "PSNR", "dB", 2, _psnr, squared_error_at, psnr_of,
            about="Of the mean squared error over the RGB samples of a picture; then the mean over pictures.",
            axis="PSNR (RGB), dB", most=1000.0,
            target="Target: at least DB decibels of PSNR.", example=36,
            loss=Loss("mse", (0.0016, 0.0032, 0.0075, 0.015, 0.03, 0.045, 0.06), _squared_error_loss),
        ),
        Metric(
            "ms_ssim", "MS-SSIM", "", 4, _ms_ssim, lambda value: 1 - value, lambda cost: 1 - cost,
            about="Over RGB; the mean over pictures, then as −10 log₁₀(1 − x).",
            axis="MS-SSIM, dB", height=of_ms_ssim, most=1.0, effort=0.3,
            target="Target: at least this MS-SSIM, such as 0.98.", example=0.98,
            loss=Loss("ms-ssim", (2.40, 4.58, 8.73, 16.64, 31.73, 60.50, 115.37), _ms_ssim_loss, crop=192),
        ),
        Metric(
            "ssimulacra2", "SSIMULACRA2", "", 2, _ssimulacra2, lambda value: 100 - value, lambda cost: 100 - cost,
            about="Version 2.1, at most 100; the mean over pictures. 50 is medium, 70 high, 90 as the original.",
            axis="SSIMULACRA2", most=100.0, effort=0.5,
            target="Target: at least this SSIMULACRA2 score, such as 80.", example=80,
            loss=Loss("ssimulacra2", _SLOPES, _ssimulacra2_loss),
        ),
        Metric(
            "butteraugli", "Butteraugli", "", 3, _butteraugli, float, float,
            about="The 3-norm by libjxl's butteraugli_main at 80 nits, less is better; the mean over pictures.",
            axis="Butteraugli (3-norm), less is better", height=lambda value: -value, lower_is_better=True,
            target="Target: at most this Butteraugli distance (3-norm), such as 1.", example=1,
            missing=_without_butteraugli, version=_butteraugli_version, effort=0.6,
        ),
        Metric(
            "psnr_ycbcr", "PSNR 6:1:1", "dB", 2, _psnr_ycbcr, squared_error_at, psnr_of,
            about="Of Y, Cb and Cr (BT.709, 4:4:4), weighed 6:1:1 as for video; then the mean over pictures.",
            axis="PSNR (YCbCr 6:1:1), dB",
        ),
    )
}  # fmt: skip
"""Metrics by name, in the order in which they are shown."""

BLENDS: dict[str, dict[str, float]] = {"visual": {"ssimulacra2": 0.5, "ms-ssim": 500.0, "mse": 0.05}}
"""Losses that are sums of others, with the weight of each."""


def _blended(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    def of(x: Tensor, x_hat: Tensor) -> Tensor:
        first, *others = (share * LOSSES[part].of(x, x_hat) for part, share in BLENDS[name].items())
        return sum(others, first)

    return of


LOSSES: dict[str, Loss] = {metric.loss.name: metric.loss for metric in METRICS.values() if metric.loss} | {
    "visual": Loss("visual", _SLOPES, _blended("visual"), crop=192)
}
"""Losses for training, by the name in weights files: those of metrics, and one that is no metric.

In `visual` a point of SSIMULACRA2 weighs as much as a thousandth of MS-SSIM and as ten squared levels. A network that
learns from SSIMULACRA2 alone uses that it hardly sees colours: it gives pictures a green cast, of seven levels after
350 steps, and draws noise into saturated red.
"""


def lost(loss: str, a: Pixels, b: Pixels) -> float:
    """A loss of samples by name, as a benchmark measures them: 255²·MSE, 1 − MS-SSIM, ..."""
    if loss in BLENDS:
        return sum(share * lost(part, a, b) for part, share in BLENDS[loss].items())
    metric = next(one for one in METRICS.values() if one.loss and one.loss.name == loss)
    return metric.cost(metric.measure(a, b))

"""SSIMULACRA 2, the metric of libjxl's tool of that name, in torch: batched, differentiable, on any device.

    x, x̂  [B, 3, H, W] sRGB 0..1 ─► linear RGB ─► six scales, each half the one before
    each scale ─► XYB ─► blurs of x, x̂, x², x̂², x·x̂ ─► three maps of errors: structure, ringing, smoothing
    each map ─► its mean and its 4-norm, for each of X, Y, B ─► 108 weights ─► a score, at most 100

30 is low quality, 50 medium, 70 high, 90 cannot be told from the original at 1:1. Constants are those of the reference
(version 2.1, BSD-3-Clause, Jon Sneyers). So are its oddities: outside a picture the blur sees zeros, and where
a picture has fewer scales than six the weights move up. The blur is "Recursive Implementation of the Gaussian Filter
Using Truncated Cosine Functions" (Charalampidis 2016). Its response is nine samples long, so a convolution stands in
for it where gradients are wanted; `of_samples` runs it as it is, for the reference's own figure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..constants import constant
from .convolution import blurred
from .recursive_blur import recursive_blur
from .sizes import require_one_size

SCALES = 6
LEAST_SIDE = 8
"""A scale with a smaller side is the last one; a smaller picture is extended by mirroring."""

_SIGMA, _RADIUS = 1.5, 5  # the radius that the paper's equation 57 gives for this sigma
_C2 = 0.0009
_BIAS = 0.0037930732552754493
_TINY = 1e-12  # keeps roots from a gradient without end where nothing is lost

# Rows: long, middle and short wavelengths.
_ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)

# What is not zero, by channel (X, Y, B), scale, norm (mean, 4-norm) and map (structure, ringing, smoothing).
_WEIGHTS = (
    0.0, 0.0007376606707406586, 0.0, 0.0, 0.0007793481682867309, 0.0,
    0.0, 0.0004371155730107379, 0.0, 1.1041726426657346, 0.00066284834129271, 0.00015231632783718752,
    0.0, 0.0016406437456599754, 0.0, 1.8422455520539298, 11.441172603757666, 0.0,
    0.0007989109436015163, 0.000176816438078653, 0.0, 1.8787594979546387, 10.94906990605142, 0.0,
    0.0007289346991508072, 0.9677937080626833, 0.0, 0.00014003424285435884, 0.9981766977854967, 0.00031949755934435053,
    0.0004550992113792063, 0.0, 0.0, 0.0013648766163243398, 0.0, 0.0,
    0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262,
    0.0006235601634041466, 0.0, 0.0, 6.683678146179332, 0.00037724407979611296, 1.027889937768264,
    225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0011401524586618361, 0.001237755635509985,
    176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0004485436923833408,
    0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0,
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0008680556573291698, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0005313191874358747, 0.0, 0.00016533814161379112, 0.0, 0.0,
    0.0, 0.0, 0.0, 0.0004179171803251336, 0.0017290828234722833, 0.0,
    0.0020827005846636437, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0,
    95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0.0012286405048278493, 171.2667255897307,
    0.9807858872435379,
    0.0, 0.0, 0.0, 0.0005130064588990679, 0.0, 0.00010854057858411537,
)  # fmt: skip


Blur = Callable[[Tensor], Tensor]


class Seen(NamedTuple):
    """One scale of a picture for the metric: XYB [B, 3, h, w], its blur, and the blur of its square."""

    xyb: Tensor
    mean: Tensor
    square: Tensor


def ssimulacra2(original: Tensor, distorted: Tensor) -> Tensor:
    """The score of each picture of a batch, [B]: 100 for no loss, below 0 for almost complete loss.

    original, distorted [B, 3, H, W], sRGB in 0..1 (values beyond get a gradient too), computed in float32.
    """
    return score(pyramid(original), distorted)


def of_samples(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The score of samples uint8 [H, W, 3]; keeps the scales of the last original, which mostly comes again."""
    require_one_size(a, b)
    if np.array_equal(a, b):
        return 100.0
    key = a.shape, hashlib.blake2b(a.tobytes(), digest_size=16).digest()
    with torch.inference_mode():
        if (scales := _last.get(key)) is None:
            scales = pyramid(_tensor(a), _as_it_is)
            _last.clear()
            if a.size <= _LARGEST_KEPT:
                _last[key] = scales
        return float(score(scales, _tensor(b), _as_it_is))


_last: dict[tuple[tuple[int, ...], bytes], list[Seen]] = {}
_LARGEST_KEPT = 12_000_000  # samples


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None].float() / 255


def pyramid(x: Tensor, blur: Blur | None = None) -> list[Seen]:
    """The scales of pictures [B, 3, H, W], for an original that is compared more than once."""
    blur = blur or _blur
    linear, scales = _linear(_large_enough(x.float())), []
    while True:
        xyb = _xyb(linear)
        mean, square = blur(torch.cat((xyb, xyb.square()), 1)).split(3, 1)
        scales.append(Seen(xyb, mean, square))
        if len(scales) == SCALES or min(linear.shape[2:]) < LEAST_SIDE:
            return scales
        linear = _halved(linear)


def score(original: list[Seen], distorted: Tensor, blur: Blur | None = None) -> Tensor:
    """`ssimulacra2` with given scales of the original, which must come from the same blur."""
    blur = blur or _blur
    norms = [_norms(a, b, blur) for a, b in zip(original, pyramid(distorted, blur), strict=True)]  # each [B, 3, 6]
    every = torch.stack(norms, 2).flatten(1)  # by channel, scale, norm and map
    weights = constant(_WEIGHTS[: every.shape[1]], every, torch.float64)
    error = 0.9562382616834844 * (every.double() @ weights)
    error = 2.326765642916932 * error - 0.020884521182843837 * error**2 + 6.248496625763138e-05 * error**3
    return (100 - 10 * error.clamp_min(_TINY) ** 0.6276336467831387).float()


def _norms(a: Seen, b: Seen, blur: Blur) -> Tensor:
    """Mean and 4-norm of the three maps of one scale, [B, 3, 6]."""
    covariance = blur(a.xyb * b.xyb) - a.mean * b.mean
    luminance = 1 - (a.mean - b.mean).square()
    variances = (a.square - a.mean.square()) + (b.square - b.mean.square())
    structure = (1 - luminance * (2 * covariance + _C2) / (variances + _C2)).clamp_min(0)
    edges = (1 + (b.xyb - b.mean).abs()) / (1 + (a.xyb - a.mean).abs()) - 1
    maps = torch.stack((structure, edges.clamp_min(0), (-edges).clamp_min(0)), 2).flatten(3)  # [B, 3, map, h·w]
    fourth = (maps.square().square().mean(3) + _TINY**2) ** 0.25 - _TINY**0.5
    return torch.cat((maps.mean(3), fourth), 2)


def _linear(x: Tensor) -> Tensor:
    """Linear light of sRGB samples."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def _xyb(linear: Tensor) -> Tensor:
    """XYB of linear light, all three shifted into 0..1, with B − Y in place of B."""
    matrix = constant(_ABSORBANCE, linear).view(3, 3, 1, 1)
    mixed = F.conv2d(linear, matrix, linear.new_full((3,), _BIAS)).clamp_min(1e-9)
    long, middle, short = (mixed ** (1 / 3) - _BIAS ** (1 / 3)).unbind(1)
    y = (long + middle) / 2
    return torch.stack((7 * (long - middle) + 0.42, y + 0.01, short - y + 0.55), 1)


def _halved(linear: Tensor) -> Tensor:
    """Means of 2×2 samples; an odd last row or column counts twice."""
    height, width = linear.shape[2:]
    return F.avg_pool2d(F.pad(linear, (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _blur(x: Tensor) -> Tensor:
    """Every channel blurred, with zeros around it."""
    reach = _RADIUS - 1
    return blurred(F.pad(x, (reach, reach, reach, reach)), _kernel()[:_RADIUS])


def _as_it_is(x: Tensor) -> Tensor:
    return recursive_blur(x, _RADIUS, _shares())


@cache
def _kernel() -> tuple[float, ...]:
    """The kernel of the reference's blur: three cosines, cut off where they are zero."""
    taps: list[float] = (np.array(_shares()) @ _cosines()).tolist()
    return tuple(taps)


def _cosines() -> NDArray[np.float64]:
    frequencies = np.array([1, 3, 5]) * np.pi / (2 * _RADIUS)
    cosines: NDArray[np.float64] = np.cos(np.outer(frequencies, np.arange(1 - _RADIUS, _RADIUS)))
    return cosines


@cache
def _shares() -> tuple[float, ...]:
    """The share of each cosine.

    Of all such sums with mass 1 and variance σ², it is the nearest to the Gaussian's own cosine series.
    """
    places, cosines = np.arange(1 - _RADIUS, _RADIUS), _cosines()
    frequencies = np.array([1, 3, 5]) * np.pi / (2 * _RADIUS)
    wanted = np.exp(-0.5 * (_SIGMA * frequencies) ** 2) / _RADIUS
    constraints = np.stack((cosines.sum(1), (cosines * places**2).sum(1)))
    missing = np.array([1.0, _SIGMA**2]) - constraints @ wanted
    shares: list[float] = (wanted + constraints.T @ np.linalg.solve(constraints @ constraints.T, missing)).tolist()
    return tuple(shares)


def _large_enough(x: Tensor) -> Tensor:
    for axis in (2, 3):
        while x.shape[axis] < LEAST_SIDE:
            x = torch.cat((x, x.flip(axis)), axis)
    return x

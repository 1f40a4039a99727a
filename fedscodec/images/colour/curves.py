"""Curves from samples to light and from light to sRGB samples, over numbers from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .encodings import GAMMA, HLG, LINEAR, PQ, Encoding

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A function from numbers in 0..1 to numbers in 0..1."""

_WHITE, _PEAK_OF_PQ, _PEAK_OF_HLG = 203.0, 10000.0, 1000.0  # candela a square metre (ITU-R BT.2408, BT.2100)
_KNEE = 0.6  # light up to which HDR is shown as it is; what is brighter is pressed together below white


def srgb_of_light(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB samples (IEC 61966-2-1) for light from 0 to 1."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(light, 1 / 2.4) - 0.055)


def to_srgb(encoding: Encoding) -> Curve:
    """A function from samples of an encoding to sRGB samples; HDR is compressed into the range of sRGB."""
    widened = _same if encoding.full else _of_narrow_range
    if encoding.curve == PQ:
        return lambda samples: srgb_of_light(_pressed(_light_of_pq(widened(samples)) * (_PEAK_OF_PQ / _WHITE)))
    if encoding.curve == HLG:
        return lambda samples: srgb_of_light(_pressed(_light_of_hlg(widened(samples)) * (_PEAK_OF_HLG / _WHITE)))
    if encoding.curve in (GAMMA, LINEAR):
        return lambda samples: srgb_of_light(np.power(widened(samples), 1 / encoding.gamma))
    return widened


def _same(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return samples


def _of_narrow_range(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip((samples * 255 - 16) / 219, 0, 1)


def _pressed(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(light <= _KNEE, light, 1 - (1 - _KNEE) * np.exp((_KNEE - np.maximum(light, _KNEE)) / (1 - _KNEE)))


def _light_of_pq(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    # SMPTE ST 2084; 1 is 10,000 candela.
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.power(samples, 1 / m2)
    return np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)


def _light_of_hlg(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    # ITU-R BT.2100: the scene, and then as a display of 1,000 candela shows it; its system gamma a channel.
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(samples <= 0.5, samples**2 / 3, (np.exp((samples - c) / a) + b) / 12)
    return np.power(scene, 1.2)

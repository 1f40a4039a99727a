"""Decibels: of squared errors of 8-bit samples, and of MS-SSIM."""

from __future__ import annotations

import math


def psnr_of(squared_error: float) -> float:
    """The PSNR of a mean squared error; infinite for 0."""
    return math.inf if squared_error <= 0 else 10 * math.log10(255**2 / squared_error)


def squared_error_at(psnr: float) -> float:
    """The mean squared error at a PSNR."""
    return float(255**2 / 10 ** (psnr / 10))


def of_ms_ssim(value: float) -> float:
    """MS-SSIM in decibels, −10·log₁₀(1 − MS-SSIM); infinite for 1."""
    return math.inf if value >= 1 else -10 * math.log10(1 - value)

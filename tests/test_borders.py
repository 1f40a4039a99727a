"""Shipped networks draw the border of a picture as well as its inside, and shift no colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedscodec.codec.model import load_model
from fedscodec.images import Picture, read_picture

ASTRONAUT = Path(__file__).parent / "pictures" / "astronaut.png"
NETWORKS = ["student", "student-msssim", "student-visual", "student-paper"]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_outermost_pixels_are_no_worse_than_the_others(network: str) -> None:
    pixels = read_picture(ASTRONAUT).pixels
    model = load_model(network, "cpu")
    errors = (model.decode(model.encode(Picture(pixels), 4)).pixels.astype(float) - pixels) ** 2
    border = np.ones(pixels.shape[:2], bool)
    border[4:-4, 4:-4] = False
    assert errors[border].mean() < 1.5 * errors[~border].mean()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("quality", [2, 5])
def test_a_picture_gets_no_cast_of_colour(network: str, quality: int) -> None:
    pixels = read_picture(ASTRONAUT).pixels
    model = load_model(network, "cpu")
    shifted = (model.decode(model.encode(Picture(pixels), quality)).pixels.astype(float) - pixels).mean((0, 1))
    assert abs(shifted).max() < 1.5  # levels; one that learned from SSIMULACRA2 alone had 4

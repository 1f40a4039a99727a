"""Shipped networks draw the border of a picture as well as its inside, and shift no colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedscodec.codec.model import Model, load_model
from fedscodec.images import Picture, read_picture

ASTRONAUT = Path(__file__).parent / "pictures" / "astronaut.png"
NETWORKS = ["student", "student-msssim", "student-visual", "student-paper"]


@pytest.fixture(scope="module", params=NETWORKS)
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param, "cpu")


def test_the_outermost_pixels_are_no_worse_than_the_others(model: Model) -> None:
    pixels = read_picture(ASTRONAUT).pixels
    errors = (model.decode(model.encode(Picture(pixels), 4)).pixels.astype(float) - pixels) ** 2
    border = np.ones(pixels.shape[:2], bool)
    border[4:-4, 4:-4] = False
    assert errors[border].mean() < 1.5 * errors[~border].mean()


@pytest.mark.parametrize("quality", [2, 5])
def test_a_picture_gets_no_cast_of_colour(model: Model, quality: int) -> None:
    pixels = read_picture(ASTRONAUT).pixels
    shifted = (model.decode(model.encode(Picture(pixels), quality)).pixels.astype(float) - pixels).mean((0, 1))
    assert abs(shifted).max() < 1.5  # levels; one that learned from SSIMULACRA2 alone had 4

"""Shipped networks draw the border of a picture as well as its inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedscodec.codec.model import load_model
from fedscodec.images import Picture, read_picture

ASTRONAUT = Path(__file__).parent / "pictures" / "astronaut.png"


@pytest.mark.parametrize("network", ["student", "student-msssim", "student-paper"])
def test_the_outermost_pixels_are_no_worse_than_the_others(network: str) -> None:
    pixels = read_picture(ASTRONAUT).pixels
    model = load_model(network, "cpu")
    errors = (model.decode(model.encode(Picture(pixels), 4)).pixels.astype(float) - pixels) ** 2
    border = np.ones(pixels.shape[:2], bool)
    border[4:-4, 4:-4] = False
    assert errors[border].mean() < 1.5 * errors[~border].mean()

"""What the float side is told of the quality is what the integers are told."""

from __future__ import annotations

import pytest
import torch

from fedscodec.entropy.fixedpoint import quality_plane
from fedscodec.networks.slices import quality_planes


@pytest.mark.parametrize("qualities", [1, 2, 7])
def test_quality_planes_are_those_of_the_header(qualities):
    thousandths = torch.arange(1000, 1000 * qualities + 1)
    planes = quality_planes(thousandths / 1000, qualities)
    assert planes.tolist() == [quality_plane(t, qualities) for t in thousandths.tolist()]
    between = torch.linspace(1, qualities, 997)
    expected = [quality_plane(round(1000 * q), qualities) for q in between.tolist()]
    assert quality_planes(between, qualities).tolist() == expected

"""How the entropy side is told of a file's quality."""

from __future__ import annotations

import pytest

from fedscodec.entropy.fixedpoint import CONTEXT_LIMIT, quality_plane


@pytest.mark.parametrize(
    ("thousandths", "qualities", "expected"),
    [
        (4000, 7, 0),  # the middle of seven
        (4031, 7, 0),
        (4032, 7, 1),
        (3999, 7, -1),  # rounded down, as shifts do
        (3968, 7, -1),
        (3967, 7, -2),
        (1000, 7, -94),
        (7000, 7, 93),
        (1000, 1, 0),
        (1500, 2, 0),
        (1000, 9, -125),
        (9000, 9, 125),
        (1000, 20, -127),  # as far as int8 goes
        (20000, 20, 127),
    ],
)
def test_the_plane_is_the_distance_from_the_middle_quality(thousandths, qualities, expected):
    assert quality_plane(thousandths, qualities) == expected
    assert CONTEXT_LIMIT == 127

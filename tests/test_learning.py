"""The page on how far training has come is drawn from the notes on weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("draw_learning", ROOT / "tools" / "draw_learning.py")
TOOL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TOOL)
NOTES = """## Third
| weights | student, `student.safetensors`, fingerprint cc |
| --- | --- |
| start | the one before it |
| pixels seen | 1.5 gigapixels, fast |
| BD-rate | −3.5 % against VTM-9.1, and more |
## Second
| weights | student, `student.safetensors`, fingerprint bb |
| start | fresh; as ever |
| pixels seen | 250 million |
| BD-rate | +120.8 % against VTM-9.1 |
## For MS-SSIM
| weights | student-msssim, `student-msssim.safetensors`, fingerprint dd |
| start | the student |
| pixels seen | 0.20 gigapixels |
| BD-rate in MS-SSIM | −14.9 % against VTM-9.1 |
## For eyes
| weights | student-visual, `student-visual.safetensors`, fingerprint ee |
| start | the student for MS-SSIM |
| pixels seen | 0.50 gigapixels |
| BD-rate in SSIMULACRA 2 | −30.2 % against AVIF (default) |
## Toy
no table
"""


def test_rows_are_read_and_pixels_added_up():
    assert TOOL.runs(NOTES) == [("student", "bb", 0.25, 120.8), ("student", "cc", 1.75, -3.5)]
    assert TOOL.runs(NOTES, "BD-rate in MS-SSIM") == [("student-msssim", "dd", 0.2, -14.9)]
    assert TOOL.runs(NOTES, "BD-rate in SSIMULACRA 2") == [("student-visual", "ee", 0.5, -30.2)]


def test_a_start_that_names_weights_continues_those():
    other = NOTES.replace(
        "| start | the one before it |", "| start | weights 0123456789abcdef, not the one before it |"
    )
    assert TOOL.runs(other)[-1] == ("student", "cc", 1.5, -3.5)  # there they have no rate of this name
    known = other.replace("fingerprint bb", "fingerprint 0123456789abcdef")
    assert TOOL.runs(known)[-1] == ("student", "cc", 1.75, -3.5)


def test_the_page_is_up_to_date():
    assert TOOL.PAGE.read_text(encoding="utf-8") == TOOL.page(), "run python tools/draw_learning.py"
    assert TOOL.PICTURE.read_text(encoding="utf-8") == TOOL.picture(), "run python tools/draw_learning.py"


def test_every_point_lies_in_the_picture():
    for points in TOOL.curves().values():
        for pixels, rate in points:
            x, y = TOOL.place((pixels, rate))
            assert TOOL.PLANE.x[0] <= x <= TOOL.PLANE.x[1]
            assert TOOL.PLANE.y[0] <= y <= TOOL.PLANE.y[1]

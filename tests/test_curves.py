from dataclasses import replace

import pytest
from bench_examples import made_up

from fedscodec.bench.curves import measured_curves, picture_curves
from fedscodec.bench.results import summarise


def test_a_curve_is_the_means_of_a_codec():
    student, jpeg, webp = measured_curves(made_up())
    assert (student.name, student.title, student.kind) == ("student", "feds student", "feds")
    assert (jpeg.kind, webp.source) == ("peer", "measured here, Pillow 11")
    assert student.settings == (1, 2, 3, 4, 5)
    assert student.bpp == pytest.approx((0.125, 0.25, 0.5, 1.0, 2.0))
    assert student.quality["psnr"] == pytest.approx((26, 30, 34, 38, 42))
    # The mean of 1 - 10 ** (-25 / 20) and 1 - 10 ** (-27 / 20), in decibels.
    assert student.quality["ms_ssim"][0] == pytest.approx(12.97128, abs=1e-4)
    assert student.points("psnr")[0] == pytest.approx((0.125, 26))
    assert (student.encode, student.decode) == ((0.5,) * 5, (0.25,) * 5)


def test_a_setting_without_all_pictures_is_no_point():
    results = made_up()
    rows = [row for row in results.rows if (row.codec, row.picture) != ("jpeg", "kodim02.png")]
    rows = [row for row in rows if (row.codec, row.picture, row.setting) != ("webp", "kodim02.png", 100)]
    student, webp = measured_curves(replace(results, rows=rows, summaries=summarise(rows)))
    assert (student.name, webp.name) == ("student", "webp")
    assert webp.settings == (20, 40, 60, 80)


def test_curves_of_one_picture():
    student, jpeg, webp = picture_curves(made_up(), "kodim02.png")
    assert student.quality["psnr"] == pytest.approx((25, 29, 33, 37, 41))
    assert jpeg.bpp == pytest.approx([1.5 * rate for rate in student.bpp])
    assert picture_curves(made_up(), "none.png") == []

import json
from importlib.resources import files
from itertools import pairwise

import pytest

from fedscodec.bench import published


def test_the_points_are_those_of_their_sources():
    vtm = next(curve for curve in published.curves("kodak") if curve.name == "vtm-9.1")
    assert (vtm.title, vtm.kind) == ("VTM-9.1", "classic")
    assert vtm.source == "InterDigitalInc/CompressAI results/image/kodak/vtm.json"
    assert vtm.bpp[:2] == (0.04824, 0.1125)
    assert vtm.quality["psnr"][:2] == (26.14485, 28.49302)
    assert vtm.decode is not None and vtm.decode[-1] == 0.22406
    tcm = next(curve for curve in published.curves("tecnick") if curve.name == "tcm-s")
    assert tcm.points("psnr")[-1] == (0.61, 38.66)
    assert tcm.points("ms_ssim") == [] and tcm.encode is None


def test_what_must_be_there_is_there():
    names = {curve.name for curve in published.curves("kodak")}
    assert names >= {
        "vtm-9.1", "vtm-18.0", "bpg-444", "av1", "cheng2020-attn", "elic", "tcm-s", "tcm-l", "weconvene", "qarv",
        "dcae", "hpcm-large", *published.SHOWN,
    }  # fmt: skip
    assert published.curves("holiday") == ()
    assert (published.picture_count("kodak"), published.picture_count("holiday")) == (24, None)


def every_curve():
    document = json.loads(files("fedscodec.bench").joinpath("published.json").read_text(encoding="utf-8"))
    return [curve for dataset in document["datasets"] for curve in published.curves(dataset["name"])]


def test_every_published_curve_is_valid():
    assert len(every_curve()) == 89
    for curve in every_curve():
        lengths = {len(curve.bpp), *(len(values) for values in curve.quality.values())}
        lengths |= {len(values) for values in (curve.encode, curve.decode) if values is not None}
        assert lengths == {len(curve.bpp)}, curve.name
        assert all(0 < a < b < 6 for a, b in pairwise(curve.bpp)), curve.name
        assert all(20 < a < b < 55 for a, b in pairwise(curve.quality["psnr"])), curve.name
        assert curve.source and curve.kind in ("classic", "learned")


def test_the_tables_of_the_paper():
    student = published.paper_table_1("kodak")[-1]
    assert student == published.PaperRow("Student", 0.064, 0.096, -6.0, 35_340_000)
    assert [len(published.paper_table_1(name)) for name in ("kodak", "tecnick", "clic2021", "mine")] == [11, 6, 6, 0]
    assert published.paper_table_2() == {"Liu2023": 2.15, "Fu2024": 9.21, "Teacher": 6.18, "Student": 1.9}
    assert "V100" in published.paper_hardware()
    known = {curve.name for curve in published.curves("kodak")}
    assert {row.curve for row in published.paper_table_1("kodak")} - {None} <= known


def test_complexities_are_of_known_curves():
    names = [entry.curve for entry in published.complexities()]
    assert set(names) <= {curve.name for curve in published.curves("kodak")}
    large = next(entry for entry in published.complexities() if entry.curve == "hpcm-large")
    assert (large.decode_seconds, large.parameters) == (0.0902, 89_710_000)


@pytest.mark.parametrize("name", published.SHOWN)
def test_what_plots_show_first_is_on_kodak(name):
    assert name in {curve.name for curve in published.curves("kodak")}

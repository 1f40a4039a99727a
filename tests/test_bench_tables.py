from dataclasses import replace

import pytest
from bench_examples import made_up

from fedscodec.bench import published
from fedscodec.bench.curves import measured_curves
from fedscodec.reports import tables
from fedscodec.reports.axes import comparable

pytest.importorskip("bjontegaard", reason="BD-rates need the bjontegaard library, of the bench extra")


def curves_of(results):
    return [*measured_curves(results), *comparable(results)]


def cells(table, first):
    return next(line.cells for line in table.lines if line.cells[0] == first)


def test_published_curves_stand_only_beside_all_of_their_pictures():
    assert len(comparable(made_up("kodak", 24))) == len(published.curves("kodak"))
    assert comparable(made_up("kodak", 4)) == []
    assert comparable(made_up("mine", 24)) == []


def test_a_published_curve_of_a_measured_codec_says_so():
    names = {curve.name: curve.title for curve in curves_of(made_up("kodak", 24))}
    assert (names["jpeg"], names["jpeg-published"]) == ("JPEG", "JPEG (published)")
    assert names["vtm-9.1"] == "VTM-9.1"


@pytest.mark.parametrize(
    ("dataset", "pictures", "wanted", "name"),
    [("kodak", 24, None, "vtm-9.1"), ("kodak", 24, "elic", "elic"), ("mine", 2, None, "jpeg"), ("mine", 2, "x", None)],
)
def test_the_anchor_is_vtm_where_it_is_known(dataset, pictures, wanted, name):
    anchor = tables.choose_anchor(curves_of(made_up(dataset, pictures)), wanted)
    assert (anchor.name if anchor else None) == name


def test_rates_over_an_anchor_in_order():
    results = made_up()
    curves = curves_of(results)
    table = tables.bd_table(curves, tables.choose_anchor(curves, "jpeg"))
    assert [line.cells[:3] for line in table.lines] == [
        ("feds student", "−33.33 %", "26.0 … 42.0"),
        ("WebP", "−16.67 %", "26.0 … 42.0"),
        ("JPEG (anchor)", "+0.00 %", "26.0 … 42.0"),
    ]
    assert [line.kind for line in table.lines] == ["feds", "peer", "peer"]
    assert table.notes == ()


def test_uncertain_rates_carry_a_letter_and_its_reason():
    results = made_up()
    student = measured_curves(results)[0]
    short = replace(student, bpp=student.bpp[:3], quality={"psnr": student.quality["psnr"][:3]})
    table = tables.bd_table([short], student)
    assert table.lines[0].cells[1:4] == ("+0.00 % (a)", "26.0 … 34.0", "–")
    assert table.notes == ("(a) one curve has 3 points only.",)


def test_table_1_has_ours_below_the_papers():
    results = made_up("kodak", 24)
    curves = curves_of(results)
    table = tables.paper_table_1(results, curves, tables.choose_anchor(curves))
    assert table.columns[4] == "BD-rate over VTM-9.1 from points"
    assert cells(table, "Student") == ("Student", "0.064 s", "0.096 s", "−6 %", "–", "35.34 M")
    assert cells(table, "Fu2024") == ("Fu2024", "0.352 s", "0.388 s", "−8.2 %", "−8.35 %", "107.20 M")
    own = cells(table, "feds student")
    assert own[:4] == ("feds student", "0.5 s", "0.25 s", "–")
    assert own[4].startswith("+") and own[5] == "35.00 M"
    assert [line.kind for line in table.lines] == ["paper"] * 11 + ["feds", "peer", "peer"]
    assert tables.paper_table_1(made_up(), [], None) is None


def test_table_1_says_what_does_not_compare():
    part = tables.paper_table_1(made_up("kodak", 4), [], None)
    assert "Rows from here are of 4 of the 24 pictures." in part.notes
    clic = tables.paper_table_1(made_up("clic2021"), [], None)
    assert any("whose pictures are smaller" in note for note in clic.notes)


def test_table_2_counts_ours_as_the_paper_does():
    table = tables.paper_table_2(made_up())
    assert cells(table, "Student") == ("Student", "1.90 T", "–")
    assert cells(table, "feds student") == ("feds student", "1.77 T", "450")  # 450e3 * 2560 * 1536
    assert len(table.lines) == 5  # peers have no such count


def test_every_setting_and_every_picture():
    results = made_up()
    table = tables.settings_table(results)
    assert len(table.lines) == 15
    first = cells(table, "feds student, quality 1")
    assert first[1:4] == ("0.1250", "26.00", "0.9495")
    assert first[6:] == ("0.5 s", "0.25 s", "1.0549", "encode: analysis 0.400, coder 0.100")
    assert "WebP: Pillow 11, YCbCr 4:2:0, method 6." in table.notes
    pictures = tables.pictures_table(results, "jpeg")
    assert len(pictures.lines) == 10
    assert pictures.lines[0].cells[:5] == ("kodim01.png", "20", "144", "0.1875", "27.00")


def test_markdown():
    table = tables.Table("t", "A title", ("codec", "bpp", "words"), (tables.Line(("a|b", "1.5", "x")),), ("A note.",),
                         frozenset({"words"}))  # fmt: skip
    assert tables.markdown(table) == (
        "### A title\n\n| codec | bpp | words |\n| --- | --: | --- |\n| a\\|b | 1.5 | x |\n\nA note.\n"
    )
    named = replace(table, lines=(tables.Line(("<!--<script>.png", "1.5", "x")),))
    assert "| \\<!--\\<script>.png | 1.5 | x |" in tables.markdown(named)


def test_dots_are_what_was_measured_and_what_others_say():
    results = made_up("kodak", 24)
    curves = curves_of(results)
    dots = {dot.name: dot for dot in tables.dots(results, curves, tables.choose_anchor(curves))}
    assert (dots["student"].decode_seconds, dots["student"].parameters) == (0.25, 35_000_000)
    assert (dots["student"].group, dots["paper-Student"].group, dots["hpcm-large"].group) == (
        "measured", "paper", "others",
    )  # fmt: skip
    assert dots["paper-Student"].bd_rate == -6.0
    assert dots["hpcm-large"].bd_rate == pytest.approx(-19.96, abs=0.01)
    # Over something that was measured here, what others print over VTM has no place.
    assert {dot.name for dot in tables.dots(results, curves, tables.choose_anchor(curves, "jpeg"))} == {
        "student", "jpeg", "webp",
    }  # fmt: skip


def test_measured_codecs_over_jpeg_by_every_metric():
    table = tables.measured_table(curves_of(made_up("kodak", 24)))
    assert table.title == "Rate over JPEG at equal quality, by every metric"
    assert table.columns == ("codec", "PSNR", "MS-SSIM", "SSIMULACRA2", "Butteraugli")
    assert [line.cells for line in table.lines] == [
        ("feds student", *["−33.33 %"] * 4), ("WebP", *["−16.67 %"] * 4), ("JPEG", *["+0.00 %"] * 4),
    ]  # fmt: skip
    assert tables.measured_table(measured_curves(made_up())[:1]) is None


def test_the_worst_picture_is_named_for_every_metric():
    table = tables.worst_table(made_up())
    assert table.columns[1:] == ("mean bpp", "PSNR", "MS-SSIM", "SSIMULACRA2", "Butteraugli")
    worst = cells(table, "feds student, quality 3")  # every second picture is two decibels worse
    bits = [row.bpp for row in made_up().rows if (row.codec, row.setting) == ("student", 3.0)]
    assert worst[1] == f"{sum(bits) / len(bits):.2f}"
    assert worst[2:] == ("33.00 dB, kodim02", "0.9776, kodim02", "66.00, kodim02", "1.818, kodim02")
    assert tables.worst_table(made_up(pictures=1)) is None
    twice = made_up()
    rows = [replace(row, picture=row.picture.replace("kodim01.png", "kodim02.jpg")) for row in twice.rows]
    table = tables.worst_table(replace(twice, rows=rows))
    assert cells(table, "feds student, quality 3")[2] == "33.00 dB, kodim02.png"  # there is another kodim02


def test_distillation_is_compared_with_the_student_without_a_teacher():
    results = made_up("kodak", 24)
    student = results.codecs["student"]
    assert tables.distillation_table(results, curves_of(results), None) is None
    codecs = {
        "student": replace(student, role="direct", training="60 min"),
        "jpeg": replace(student, title="feds teacher", role="teacher", parameters=95_000_000),
        "webp": replace(student, title="feds distilled", role="distilled", training="60 min, teacher 12ab"),
    }
    results = replace(results, codecs=codecs)
    curves = curves_of(results)
    table = tables.distillation_table(results, curves, tables.choose_anchor(curves))
    assert table.columns[5:7] == ("over VTM-9.1", "over feds student")
    assert cells(table, "feds distilled")[1:4] == ("student of a teacher", "60 min, teacher 12ab", "35.00 M")
    assert [cells(table, f"feds {name}")[6] for name in ("student", "teacher", "distilled")] == [
        "+0.00 %", "+50.00 %", "+25.00 %",
    ]  # fmt: skip


def test_what_hardly_overlaps_shares_one_letter():
    curve = measured_curves(made_up())[0]
    lower = [{"psnr": tuple(q - by for q in curve.quality["psnr"])} for by in (8, 9)]
    table = tables.bd_table([replace(curve, name=f"{by}", quality=by) for by in lower], curve)
    assert [line.cells[1][-3:] for line in table.lines] == ["(a)", "(a)"]
    assert table.notes == ("(a) less than 75 % of the shorter curve overlaps.",)

import math
import re
from itertools import combinations

import pytest
from bench_examples import made_up

from fedscodec.bench.curves import Curve, measured_curves
from fedscodec.reports import axes, charts, layout
from fedscodec.reports.axes import comparable
from fedscodec.reports.layout import Dot, Plane


def kodak():
    results = made_up("kodak", 24)
    return [*measured_curves(results), *comparable(results)]


def test_ticks_are_round():
    assert axes.ticks(0.0, 2.2, 8) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2]
    assert axes.ticks(25.0, 44.0, 8) == [26.0, 28.0, 30.0, 32.0, 34.0, 36.0, 38.0, 40.0, 42.0, 44.0]


def test_the_frame_ends_where_ours_do():
    seen = axes.frame(kodak(), "psnr")
    assert seen.bpp == pytest.approx(2.2)  # a tenth beyond the 2 bits of the student
    assert (seen.low, seen.high) == (25, 44)


def test_a_frame_for_few_points_in_unusual_places():
    far = Curve("feds", "feds", "feds", (3.3, 4.9, 5.8), {"psnr": (20.0, 25.0, 30.0)}, "a test")
    assert axes.frame([far], "psnr").bpp == pytest.approx(1.1 * 5.8)
    single = Curve("feds", "feds", "feds", (10.0,), {"psnr": (50.0,)}, "a test")
    other = Curve("jpeg", "JPEG", "peer", (2.0, 4.0), {"psnr": (20.0, 30.0)}, "a test")
    seen = axes.frame([single, other], "psnr")
    assert (seen.low, seen.high, seen.bpp) == (47.25, 52.75, pytest.approx(11))


def test_two_settings_may_give_files_of_one_size():
    curve = Curve("c", "c", "feds", (0.1, 0.1, 0.3), {"psnr": (30.0, 31.0, 40.0)}, "a test")
    assert axes.end_of(curve, "psnr", axes.Frame(1.0, 20, 60)) == pytest.approx((0.3, 40))


def test_where_a_curve_is_seen_last():
    curve = Curve("c", "c", "peer", (0.1, 1.1, 2.1), {"psnr": (30.0, 40.0, 50.0)}, "a test")
    assert axes.end_of(curve, "psnr", axes.Frame(1.6, 20, 60)) == pytest.approx((1.6, 45))
    assert axes.end_of(curve, "psnr", axes.Frame(3.0, 20, 60)) == pytest.approx((2.1, 50))
    assert axes.end_of(curve, "psnr", axes.Frame(3.0, 20, 35)) == pytest.approx((0.6, 35))
    assert axes.end_of(curve, "psnr", axes.Frame(0.05, 20, 60)) is None
    assert axes.end_of(curve, "ms_ssim", axes.Frame(3.0, 0, 30)) is None


def test_a_plane_maps_values_to_places():
    plane = Plane((0.0, 2.0), (20.0, 40.0), left=100, right=300, top=10, bottom=410)
    assert (plane.across(0.5), plane.down(25.0)) == (150, 310)


def test_points_are_drawn_where_they_are():
    (curve,) = (c for c in kodak() if c.name == "student")
    plane = layout.rate_plane(kodak(), "psnr")
    group = re.search(r'<g class="curve ours" data-curve="student".*?</g></g>|<g class="curve ours".*', _svg())[0]
    first = re.search(r'points="([\d.]+),([\d.]+) ', group)
    assert float(first[1]) == pytest.approx(plane.across(curve.bpp[0]), abs=0.06)
    assert float(first[2]) == pytest.approx(plane.down(26.0), abs=0.06)
    assert "<title>feds student at 1: 0.125 bpp, 26.00 dB</title>" in group


def _svg():
    return charts.rate_distortion(kodak(), "psnr")


def test_what_is_not_shown_first_is_hidden_and_names_are_escaped():
    svg = _svg()
    assert re.search(r'<g class="curve classic anchor" data-curve="vtm-9.1"', svg)
    assert re.search(r'<g class="curve learned hidden" data-curve="dcae"', svg)
    assert len(re.findall(r'<g class="curve ', svg)) == len(kodak())
    odd = Curve("<b>", "<i>&", "peer", (0.1, 0.2), {"psnr": (30.0, 31.0)}, "a test")
    assert "<i>" not in charts.rate_distortion([odd], "psnr")
    assert "<b>" not in charts.rate_distortion([odd], "psnr")


def test_labels_of_curves_keep_apart():
    curves = [curve for curve in kodak() if axes.shown_at_first(curve)]
    labels = layout.curve_labels(curves, "psnr", layout.rate_plane(curves, "psnr"))
    assert set(labels) == {curve.name for curve in curves}
    assert not any(a.meets(b) for a, b in combinations(labels.values(), 2))
    plane = layout.rate_plane(curves, "psnr")
    for curve in curves:
        label, end = labels[curve.name], axes.end_of(curve, "psnr", axes.Frame(plane.x[1], *plane.y))
        assert plane.right < label.x and label.x + label.width <= layout.WIDTH
        at = plane.across(end[0]), plane.down(end[1])
        assert label.tip in (None, pytest.approx(at))
        if label.tip is None:  # no line leads from it: its curve ends beside it
            assert at[0] > plane.right - 8 and abs(label.y - at[1]) < layout.LINE / 3


def test_heights_move_as_little_as_possible():
    plane = Plane((0.0, 1.0), (0.0, 1.0), top=0, bottom=400)
    assert layout._apart([10.0, 100.0, 300.0], plane) == [10.0, 100.0, 300.0]
    assert layout._apart([100.0, 100.0, 300.0], plane) == [92.5, 107.5, 300.0]
    assert layout._apart([100.0, 100.0, 106.0], plane) == [87.0, 102.0, 117.0]
    assert layout._apart([0.0, 0.0, 400.0], plane) == [0.0, 15.0, 400.0]
    assert layout._apart([399.0, 400.0], plane) == [385.0, 400.0]
    assert layout._apart([], plane) == []


def test_every_second_peer_is_dashed():
    kinds = {"a": "peer", "x": "feds", "b": "peer", "c": "peer", "d": "peer"}
    curves = [Curve(name, name, kind, (0.1, 0.2), {"psnr": (30.0, 31.0)}, "a test") for name, kind in kinds.items()]
    svg = charts.rate_distortion(curves, "psnr")
    dashed = re.findall(r'data-curve="(\w)"[^>]*><g [^>]*><polyline [^>]*stroke-dasharray', svg)
    assert sorted(dashed) == ["b", "d"]
    assert len(set(axes.PEERS) | set(axes.OURS) | {axes.INK, axes.FAINT}) == len(axes.PEERS) + len(axes.OURS) + 2


def dot(name, seconds, rate, parameters=None, group="paper"):
    return Dot(name, name, seconds, rate, parameters, "a machine", group, "#123456")


def test_areas_are_parameters_and_heights_are_halvings():
    small, large = dot("s", 1, 0, 25_000_000), dot("l", 1, 0, 100_000_000)
    assert large.radius == pytest.approx(2 * small.radius)
    assert [dot("x", 1, rate).height for rate in (-50, 0, 100, 300)] == [-1, 0, 1, 2]


def test_the_speed_plot_has_less_rate_above():
    dots = [dot("good", 0.1, -20.0, 10**7), dot("bad", 10.0, 100.0), dot("ours", 1.0, 25.0, 10**7, "measured")]
    svg = charts.speed(dots, "VTM-9.1")
    place = {name: (float(x), float(y)) for name, x, y in
             re.findall(r'data-dot="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', svg)}  # fmt: skip
    assert place["good"][1] < place["ours"][1] < place["bad"][1]
    assert place["good"][0] < place["ours"][0] < place["bad"][0]
    assert "<title>good: 100 ms on a machine, −20.0 %, 10.0 M parameters</title>" in svg
    assert ">+100 %<" in svg and ">1 s<" in svg
    assert charts.speed([], "VTM-9.1") == ""


def test_figures_of_several_seeds_are_dots_on_a_line_and_a_bar_at_their_mean():
    svg = charts.spread([("Base & line", [0.0, 0.0]), ("More", [-3.0, -1.0]), ("Nothing", [])], "worth", "rate")
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="5"><title>(.+?)</title>', svg)
    assert [title for *_, title in dots] == [
        "Base &amp; line: +0.00 %", "Base &amp; line: +0.00 %", "More: −3.00 %", "More: −1.00 %",
    ]  # fmt: skip
    (zero, top, _), _, (least, middle, _), (most, _, _) = dots
    assert float(least) < float(most) < float(zero) and float(top) < float(middle)
    bars = [float(at) for at in re.findall(r'class="mean" style="--c:#\w+" x1="([\d.]+)"', svg)]
    assert bars == [float(zero), pytest.approx((float(least) + float(most)) / 2, abs=0.1)]
    assert all(f">{name}</text>" in svg for name in ("Base &amp; line", "More", "Nothing"))


def test_labels_of_dots_keep_apart_and_ours_are_always_there():
    crowd = [dot(f"crowd-{i}", 0.1 * 1.01**i, -5.0, 10**7) for i in range(20)]
    ours = dot("ours", 0.1, -5.0, 10**7, "measured")
    labels = layout.dot_labels([*crowd, ours], layout.speed_plane([*crowd, ours]))
    assert "ours" in labels and 3 < len(labels) < 21
    alone = [dot("a", 0.1, -5.0, 10**8), dot("b", 0.2, -5.0, 10**8)]
    plane = layout.speed_plane(alone)
    for one, other in (alone, alone[::-1]):
        circle = plane.across(math.log10(other.decode_seconds)), plane.down(-other.height), other.radius
        assert not layout.dot_labels(alone, plane)[one.name].covers(*circle)
    assert not any(a.meets(b) for a, b in combinations(labels.values(), 2))


def test_a_picture_without_loss_breaks_no_curve():
    curve = Curve("c", "c", "feds", (0.1, 0.2, 8.0), {"psnr": (30.0, 33.0, math.inf)}, "a test")
    svg = charts.rate_distortion([curve], "psnr")
    assert "inf" not in svg.replace("inside", "")
    assert svg.count("<circle") == 2

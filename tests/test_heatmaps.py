"""The entropy analysis: figures against those of the estimator, and the page in a browser."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from browser import CHROMIUM, Browser
from conftest import SMALL
from PIL import Image
from typer.testing import CliRunner

from fedscodec.cli import app
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import load_model
from fedscodec.codec.settings import Encoding
from fedscodec.entropy.coders import RateEstimator
from fedscodec.errors import FedsError, OutputError
from fedscodec.images import Picture, pad, to_tensor
from fedscodec.networks.walk import walk
from fedscodec.networks.weights import trainable
from fedscodec.reports import entropy_report, heatmaps, probing
from fedscodec.reports.heatmaps import Entropy

for module in ("jinja2",):
    pytest.importorskip(module, reason=f"the analysis needs {module}, of the bench extra")


PARTS = replace(SMALL, latents=4).parts()


def made_up():
    """Two slices of two channels over 3 by 2 latents, of which the right column only pads the picture."""
    maps = np.zeros((4, 2, 3), np.float32)
    maps[0] += 1
    maps[2] = [[4, 2, 0], [6, 0, 0]]
    maps[3] += 1
    return Entropy("a.png", Picture(np.zeros((20, 32, 3), np.uint8)), "toy", PARTS, 3.0, maps, 6.0, 5)


def test_channels_are_ranked_by_their_mean():
    entropy = made_up()
    assert entropy.means.tolist() == [1, 0, 2, 1]
    assert entropy.ranking.tolist() == [2, 0, 3, 1]
    assert entropy.cumulative.tolist() == [0.5, 0.75, 1, 1]
    assert [entropy.channels_for(share) for share in (0.5, 0.6, 0.75, 1.0)] == [1, 2, 2, 3]
    assert [entropy.slice_of(channel) for channel in range(4)] == [1, 1, 2, 2]
    assert entropy.bits == 6 + 24
    assert entropy.total.tolist() == [[6, 4, 2], [8, 2, 2]]
    assert entropy.seen(entropy.total).tolist() == [[6, 4], [8, 2]]


def test_heatmaps_are_bright_where_bits_are():
    values = np.array([[0.0, 1.0, 2.0, 9.0]], np.float32)
    assert heatmaps.levels(values, 2.0).tolist() == [[0, 128, 255, 255]]
    picture = heatmaps.heatmap(values, 2.0, scale=3)
    assert picture.pixels.shape == (3, 12, 3)
    assert picture.pixels[0, ::3].sum(axis=1).tolist() == sorted(picture.pixels[0, ::3].sum(axis=1).tolist())
    assert picture.pixels[0, 0].tolist() == [0, 0, 4]  # the first colour of inferno, which is nearly black


def test_ranks_beyond_a_network_are_left_out():
    assert heatmaps.require_ranks((1, 40, 80), 64) == (1, 40)
    with pytest.raises(FedsError, match=r"^ranks must lie between 1 and 16, found 40, 80$"):
        heatmaps.require_ranks((40, 80), 16)
    with pytest.raises(FedsError, match=r"^expected ranks from 1 on, found 0$"):
        heatmaps.require_ranks((1, 0), 16)


def test_what_is_measured_is_what_the_estimator_says(tmp_path, picture, tiny_file, tiny_weights):
    shown = picture("waves", 100, 70)
    Image.fromarray(shown.pixels).save(tmp_path / "a.png")
    (entropy,) = probing.measure([tmp_path / "a.png"], str(tiny_file), 3.0, "cpu")
    assert (entropy.name, entropy.quality, len(entropy.parts)) == ("a.png", 3.0, 2)
    assert entropy.maps.shape == (16, 8, 8)  # 100x70 padded to 128x128
    model = load_model(str(tiny_file), "cpu")
    assert entropy.file_bytes == len(encode_picture(shown, model, Encoding(quality=3.0)).data)
    twin, spec = trainable(tiny_weights).eval(), tiny_weights.spec
    estimator = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
    with torch.inference_mode(), model.autocast():
        y = model.transforms.g_a(pad(to_tensor(shown)), torch.tensor([3.0])).value.float() * model.gains(3.0)[0]
        z = model.transforms.h_a(y).float()
    with torch.inference_mode():
        walk(twin.float_side, z, y, torch.tensor([3.0]), estimator)
    assert entropy.bits == pytest.approx(float(estimator.bits), rel=0.01)
    assert entropy.z_bits == pytest.approx(float(torch.as_tensor(estimator.bits_z).sum()), rel=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_file):
    place = tmp_path_factory.mktemp("entropy")
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 80, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    sources = [str(place / f"{number}.png") for number in range(2)]
    run = CliRunner().invoke(app, ["entropy", *sources, "-o", str(place / "out"), "--model", str(tiny_file),
                                   "--rank", "1", "--rank", "16", "--device", "cpu"])  # fmt: skip
    assert run.exit_code == 0, run.output
    return place


def test_files(folder):
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {
        "entropy.html", "entropy.json", "entropy.svg", "cumulative.svg", "maps",
    }  # fmt: skip
    found = json.loads((out / "entropy.json").read_text())
    assert found["format"] == "feds-entropy-1"
    first = found["pictures"][0]
    means = [channel["bits_per_latent"] for channel in first["channels"]]
    assert means == sorted(means, reverse=True) and len(means) == 16
    assert first["channels"][-1]["cumulative_share"] == 1
    names = sorted(path.name for path in (out / "maps").iterdir())
    worst, best = first["channels"][-1]["channel"], first["channels"][0]["channel"]
    assert names[:2] == [f"0-rank001-channel{best:03}.png", f"0-rank016-channel{worst:03}.png"] and len(names) == 4
    with Image.open(out / "maps" / names[0]) as image:
        assert image.size == (80, 48)


def test_existing_files_are_not_overwritten(folder, tiny_file):
    again = ["entropy", str(folder / "0.png"), "-o", str(folder / "out"), "--model", str(tiny_file)]
    run = CliRunner().invoke(app, again)
    assert run.exit_code == 1 and run.output.endswith("entropy.html: already exists, use --force to overwrite it\n")


def test_no_file_of_somebody_is_overwritten(tmp_path):
    (tmp_path / "maps").mkdir()
    entropy_report.write([made_up()], tmp_path / "other", (1,))
    (map_of_one,) = (tmp_path / "other" / "maps").iterdir()
    for name in ("cumulative.svg", f"maps/{map_of_one.name}"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(OutputError, match="already exists, use --force to overwrite it$"):
            entropy_report.write([made_up()], tmp_path, (1,))
        assert not (tmp_path / "entropy.html").exists()
        (tmp_path / name).unlink()
    entropy_report.write([made_up()], tmp_path, (1,))
    entropy_report.write([made_up()], tmp_path, (1,), force=True)


def test_every_channel_can_be_had(tmp_path):
    entropy_report.write([made_up()], tmp_path, (1,), every=True)
    assert len(list((tmp_path / "maps").iterdir())) == 4


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_a_browser_walks_through_the_ranks(folder, tmp_path):
    with Browser(tmp_path / "profile") as browser:
        browser.open(folder / "out" / "entropy.html")
        assert browser.run("document.querySelector('.which').value") == "all channels"
        drawn = "(c => [c.width, c.height, c.toDataURL()])(document.querySelector('.map'))"
        total = browser.run(drawn)
        assert total[:2] == [5, 3]  # latents under 80x48 pixels
        browser.run("document.querySelector('.rank').focus()")
        browser.press("ArrowRight")
        assert browser.run("document.querySelector('.which').value").startswith("rank 1, channel ")
        assert browser.run(drawn) != total
        tops = "[...document.querySelector('.pair').children].map(f => f.getBoundingClientRect().top)"
        browser.run("document.querySelector('.pair').style.maxWidth = '350px'")  # as below a tall picture
        assert len(set(browser.run(tops))) == 1
        with browser.phone():
            assert browser.fits()
            assert len(set(browser.run(tops))) == 2
        assert browser.complaints == []
        assert {url.split(":")[0] for url in browser.requests} <= {"file", "data"}

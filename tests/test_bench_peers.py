"""Every peer at hand encodes and decodes real bytes; what is not at hand says how to get it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from fedscodec.bench import ffmpeg, peers, zoo
from fedscodec.bench.coders import MissingPeerError
from fedscodec.errors import FedsError
from fedscodec.metrics.psnr import psnr

MAGIC = {
    "jpeg": b"\xff\xd8\xff",
    "jpeg2000": b"\xff\x4f\xff\x51",
    "webp": b"RIFF",
    "avif": b"\0\0\0",
    "jxl": b"\xff\x0a",
    "hevc": b"\0\0\0\1\x40",  # a video parameter set
    "vvc": b"\0\0\0\1",
}
COLOURS = {
    "jpeg": "YCbCr 4:2:0", "jpeg2000": "YCbCr 4:4:4", "webp": "YCbCr 4:2:0", "avif": "YCbCr 4:4:4",
    "jxl": "XYB 4:4:4", "hevc": "YCbCr 4:4:4, 10 bits", "vvc": "YCbCr 4:2:0, 10 bits",
}  # fmt: skip


def opened(name):
    coders, absent = peers.opened([name], 1)
    if absent:
        pytest.skip(f"needs {absent[name]}")
    return coders[name]


@pytest.mark.parametrize("name", MAGIC)
def test_a_peer_codes_real_bytes_both_ways(name, picture):
    coder, original = opened(name), picture(width=200, height=136)
    worst, best = min, max
    reverse = name in ("jpeg2000", "hevc", "vvc")  # where a larger setting means fewer bytes
    low, high = (worst(coder.settings), best(coder.settings))[:: -1 if reverse else 1]
    decibels, sizes = [], []
    for setting in (low, high):
        encoded = coder.encode(original, setting)
        decoded = coder.decode(encoded.result)
        assert encoded.result.startswith(MAGIC[name])
        assert (decoded.result.dtype, decoded.result.shape) == (np.uint8, (136, 200, 3))
        assert sum(encoded.seconds.values()) > 0 < sum(decoded.seconds.values())
        decibels.append(psnr(original.pixels, decoded.result))
        sizes.append(len(encoded.result))
    assert 100 < sizes[0] < sizes[1] < original.pixels.size
    assert 15 < decibels[0] < decibels[1]
    assert decibels[1] > 27
    assert coder.codec.colour == COLOURS[name]
    assert (coder.codec.kind, bool(coder.codec.version), bool(coder.codec.memory)) == ("peer", True, True)


@pytest.mark.parametrize("name", ["hevc", "vvc"])
def test_sides_that_are_odd(name, picture):
    coder, original = opened(name), picture(width=65, height=51)
    decoded = coder.decode(coder.encode(original, 22).result)
    assert decoded.result.shape == (51, 65, 3)
    assert psnr(original.pixels, decoded.result) > 30


def test_colours_survive_the_way_to_10_bits_and_back(picture):
    opened("hevc")
    pixels = picture("noise", 64, 48).pixels
    raw = ["-f", "rawvideo", "-s", "64x48", "-pix_fmt"]
    there = ffmpeg.run(
        [*raw, "rgb24", "-i", "-", "-vf", ffmpeg._TO_YCBCR.format("yuv444p10le"), "-f", "rawvideo", "-"],
        pixels.tobytes(), 1,
    )  # fmt: skip
    back = ffmpeg.run(
        [*raw, "yuv444p10le", "-i", "-", "-vf", ffmpeg._TO_RGB, "-f", "rawvideo", "-"], there.result, 1
    ).result
    assert len(there.result) == 2 * pixels.size
    assert np.array_equal(np.frombuffer(back, np.uint8), pixels.ravel())


def test_a_failure_of_ffmpeg_is_reported_with_its_first_words():
    opened("hevc")
    with pytest.raises(FedsError, match="^ffmpeg failed: .*No start code is found"):
        ffmpeg.run(["-f", "hevc", "-i", "-", "-f", "rawvideo", "-"], b"no stream", 1)


def test_grey_pictures_come_back_as_rgb(picture):
    grey = picture("waves", 40, 30)
    pixels = np.repeat(grey.pixels[..., :1], 3, axis=2)
    for name in ("jpeg", "webp", "avif"):
        coder = opened(name)
        decoded = coder.decode(coder.encode(type(grey)(pixels, grey=True), max(coder.settings)).result).result
        assert decoded.shape == (30, 40, 3)
        assert psnr(pixels, decoded) > 27


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    ffmpeg.binary.cache_clear()
    for module in ("imageio_ffmpeg", "pillow_jxl", "compressai", "compressai.zoo.image"):
        monkeypatch.setitem(sys.modules, module, None)
    coders, absent = peers.opened(["hevc", "jxl", "mbt2018"], 1)
    assert coders == {}
    assert absent == {
        "hevc": "pip install imageio-ffmpeg",
        "jxl": "pip install pillow-jxl-plugin",
        "mbt2018": "pip install compressai, then load each quality once with pretrained=True",
    }


def test_an_ffmpeg_without_the_codec_is_reported(monkeypatch):
    monkeypatch.setattr(ffmpeg, "binary", lambda: "ffmpeg")
    monkeypatch.setattr(
        ffmpeg, "_listing", lambda path, what: "ffmpeg version 7.0 libx264" if what == "-version" else ""
    )
    with pytest.raises(
        MissingPeerError, match=r"^the installed ffmpeg \(7\.0\) has no libvvenc; pip install imageio-ffmpeg"
    ):
        ffmpeg.vvc((32,), 1)


def test_peers_are_chosen_by_name():
    assert peers.chosen("all") == list(peers.PEERS)
    assert peers.chosen("none") == []
    assert peers.chosen("webp, jpeg,webp") == ["webp", "jpeg"]
    with pytest.raises(FedsError, match="^bpg: no such peer; there are jpeg, jpegli, jpeg2000, "):
        peers.chosen("jpeg,bpg")


def test_a_quick_look_takes_settings_of_the_whole_measurement():
    assert all(set(peer.quick) <= set(peer.settings) for peer in peers.PEERS.values())


# ── CompressAI's zoo ──────────────────────────────────────────────────────────────────────────────────────


def test_a_network_of_the_zoo_is_measured_if_its_weights_are_installed(tmp_path, picture, monkeypatch):
    pytest.importorskip("compressai", reason="compressai is not among the test requirements: it needs numpy below 2")
    from compressai.zoo import image_models
    from compressai.zoo.image import model_urls

    name = "bmshj2018-hyperprior"
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(MissingPeerError, match=r"^found no weights in the torch\.hub cache; compressai\.zoo"):
        peers.PEERS[name].open((1, 2), 1)
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    network = image_models[name](1, pretrained=False)
    (tmp_path / "checkpoints" / model_urls[name]["mse"][1].rsplit("/", 1)[-1]).touch()
    monkeypatch.setattr(zoo, "_network", lambda architecture, quality: network)
    network.eval().update()
    coder = peers.PEERS[name].open((1, 2), 1)
    assert (coder.settings, coder.codec.colour) == ([1], "RGB")
    original = picture(width=70, height=50)
    encoded = coder.encode(original, 1)
    decoded = coder.decode(encoded.result)
    assert decoded.result.shape == (50, 70, 3)
    assert len(encoded.result) > 8

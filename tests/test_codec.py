"""Pictures to bytes and back, with a random network: what must hold whatever the weights are."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedscodec import fileformat
from fedscodec.codec import devices
from fedscodec.codec.decoding import decode_file, decode_salvaged, reconstruct
from fedscodec.codec.devices import choose_device, choose_precision
from fedscodec.codec.encoding import analyse_picture, encode_analysed, encode_picture
from fedscodec.codec.model import Model
from fedscodec.codec.outcomes import Encoded
from fedscodec.codec.settings import Encoding
from fedscodec.entropy import streams as stream_coders
from fedscodec.entropy.streams import StreamReader
from fedscodec.errors import DeviceWarning, FedsError, FormatError, TooLargeError
from fedscodec.images import Picture
from fedscodec.metrics.psnr import psnr
from fedscodec.networks import tiles
from fedscodec.networks.walk import walk
from fedscodec.networks.weights import Weights

MakePicture = Callable[..., Picture]


def same_symbols(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def encoded(codec: Model, picture: MakePicture) -> Encoded:
    """A picture of 64x48, encoded at q4."""
    return encode_picture(picture(), codec, Encoding(quality=4.0, count_bits=True))


# ── Round trips ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 50), (64, 64), (65, 127), (3, 200), (129, 64)])
def test_every_size_comes_back(width: int, height: int, codec: Model, picture: MakePicture) -> None:
    encoded = encode_picture(picture(width=width, height=height), codec, Encoding(quality=3.0))
    file = fileformat.unpack(encoded.data)
    assert (file.header.width, file.header.height) == (width, height)
    decoded = decode_file(file, codec)
    assert decoded.picture.pixels.shape == (height, width, 3)
    assert decoded.picture.pixels.dtype == np.uint8
    assert same_symbols(encoded.symbols, decoded.symbols)
    rows, columns = -(-height // 64), -(-width // 64)
    assert [len(s) for s in decoded.symbols] == [8 * rows * columns] + [8 * 16 * rows * columns] * 2


@pytest.mark.parametrize("kind", ["noise", "constant", "checkerboard"])
@pytest.mark.parametrize("quality", [1.0, 7.0])
def test_every_content_comes_back(kind: str, quality: float, codec: Model, picture: MakePicture) -> None:
    encoded = encode_picture(picture(kind), codec, Encoding(quality=quality, count_bits=True))
    decoded = decode_file(fileformat.unpack(encoded.data), codec)
    assert same_symbols(encoded.symbols, decoded.symbols)
    assert max(int(np.abs(s).max()) for s in encoded.symbols) > 3  # there was something to code
    assert len(encoded.data) * 8 <= encoded.bits * 1.01 + 64 * 8


@pytest.mark.parametrize("quality", [1.0, 5.5])
def test_every_stage_by_hand(quality: float, codec: Model, picture: MakePicture) -> None:
    original = picture(width=50, height=70)
    encoded = encode_picture(original, codec, Encoding(quality=quality))
    file = fileformat.unpack(encoded.data)
    reader = StreamReader(file.streams, (1, 2, 1, 8), codec.z_tables, codec.y_tables)
    y_hat = walk(codec.side, None, None, round(1000 * quality), reader).permute(0, 3, 1, 2) / 16
    padded = np.pad(original.pixels, ((0, 58), (0, 14), (0, 0)), mode="edge").astype(np.float32) / 255
    with torch.no_grad():
        level, (gain, inverse) = torch.tensor([quality]), codec.gains(quality)
        y = codec.transforms.g_a(torch.from_numpy(padded).permute(2, 0, 1)[None], level).value * gain
        x_hat = codec.transforms.g_s(y_hat * inverse, level).value[0, :, :70, :50]
        z = codec.transforms.h_a(y).permute(0, 2, 3, 1)
    assert (y_hat - y).abs().max() <= 0.5 + 1e-3
    assert y.std() > 1.5
    assert np.abs(encoded.symbols[0] - z.numpy().reshape(-1)).max() <= 0.5 + 1e-3
    levels = np.floor(x_hat.clamp(0, 1).permute(1, 2, 0).numpy() * 255 + 0.5)
    assert np.abs(codec.decode(encoded.data).pixels - levels).max() <= 1


def test_encoding_twice_gives_the_same_bytes(codec: Model, picture: MakePicture, encoded: Encoded) -> None:
    assert encode_picture(picture(), codec, Encoding(quality=4.0)).data == encoded.data
    assert codec.encode(picture()) == encoded.data  # the model's own quality is 4
    assert codec.encode(picture(), 4.0) == encoded.data
    assert codec.encode(picture(seed=1)) != encoded.data
    assert codec.encode(picture(), 5.0) != encoded.data


def test_one_analysis_serves_every_quality(codec: Model, picture: MakePicture, monkeypatch: pytest.MonkeyPatch) -> None:
    original = picture(width=70, height=50)
    files = {quality: encode_picture(original, codec, Encoding(quality=quality)) for quality in (1.0, 3.456, 7.0)}
    analysed = analyse_picture(original, codec)
    monkeypatch.setattr("fedscodec.codec.encoding.analyse", None)  # which is not needed again
    assert analysed.latents.shape == (1, 16, 4, 8)
    for quality, whole in files.items():
        encoded = encode_analysed(analysed, codec, Encoding(quality=quality))
        assert encoded.data == whole.data
        assert encoded.seconds.keys() == whole.seconds.keys()
        assert np.array_equal(reconstruct(encoded, codec).pixels, codec.decode(whole.data).pixels)
    with pytest.raises(FedsError, match="quality must lie between 1 and 7 for tiny, found 7.5"):
        encode_analysed(analysed, codec, Encoding(quality=7.5))


def test_stages_are_timed_and_bits_counted(codec: Model, encoded: Encoded, picture: MakePicture) -> None:
    stages = {"analysis", "hyper analysis", "entropy nets", "coder"}
    assert encoded.seconds.keys() == stages
    decoded = decode_file(fileformat.unpack(encoded.data), codec)
    assert decoded.seconds.keys() == {"entropy nets", "coder", "synthesis"}
    assert all(value >= 0 for value in (*encoded.seconds.values(), *decoded.seconds.values()))
    file = fileformat.unpack(encoded.data)
    assert codec.z_tables.bits(encoded.symbols[0], np.arange(8)) < encoded.bits
    assert encode_picture(picture(), codec, Encoding(quality=4.0)).bits == 0.0
    assert 8 * sum(map(len, file.streams)) <= encoded.bits * 1.01 + 3 * 32


def test_bytes_are_near_the_entropy(codec: Model, picture: MakePicture) -> None:
    encoded = encode_picture(picture("noise", 256, 192), codec, Encoding(quality=7.0, count_bits=True))
    assert encoded.bits / 8 > 4000
    assert len(encoded.data) <= encoded.bits / 8 * 1.01 + 64
    assert len(encoded.data) >= encoded.bits / 8 * 0.99


def test_the_first_slices_alone_give_a_preview(codec: Model, picture: MakePicture, encoded: Encoded) -> None:
    file = fileformat.unpack(encoded.data)
    whole, preview = decode_file(file, codec), decode_file(file, codec, slices=1)
    assert same_symbols(preview.symbols, encoded.symbols[:2])
    assert np.array_equal(decode_file(file, codec, slices=2).picture.pixels, whole.picture.pixels)
    rest = np.zeros((1, 4, 4, 8), dtype=np.float32)  # the other slice is taken as zero
    reader = StreamReader(file.streams, (1, 1, 1, 8), codec.z_tables, codec.y_tables)
    y_hat = walk(codec.side, None, None, 4000, reader, 1)[..., :8].numpy() / 16
    with torch.no_grad():
        latents = torch.from_numpy(np.concatenate([y_hat, rest], 3)).permute(0, 3, 1, 2) * codec.gains(4.0)[1]
        x_hat = codec.transforms.g_s(latents.float(), torch.tensor([4.0])).value[0, :, :48, :64]
    x_hat = x_hat.clamp(0, 1).permute(1, 2, 0).numpy()
    assert np.abs(preview.picture.pixels - np.floor(x_hat * 255 + 0.5)).max() <= 1
    assert not np.array_equal(preview.picture.pixels, whole.picture.pixels)
    header = file.header
    broken = fileformat.FedsFile(header, (*file.streams[:2], bytes(len(file.streams[2]))))
    assert np.array_equal(decode_file(broken, codec, slices=1).picture.pixels, preview.picture.pixels)
    for wrong in (0, 3, -1):
        with pytest.raises(FedsError, match=f"slices must lie between 1 and 2 for tiny, found {wrong}"):
            decode_file(file, codec, slices=wrong)


# ── What travels with the pixels ──────────────────────────────────────────────────────────────────────────


def test_boxes_survive(codec: Model, picture: MakePicture, encoded: Encoded) -> None:
    plain = picture()
    with_boxes = Picture(plain.pixels, icc=b"profile", exif=b"II*\0exif", xmp=b"<x/>")
    data = codec.encode(with_boxes)
    back = codec.decode(data)
    assert (back.icc, back.exif, back.xmp, back.grey) == (b"profile", b"II*\0exif", b"<x/>", False)
    bare = codec.decode(encoded.data)
    assert (bare.icc, bare.exif, bare.xmp) == (None, None, None)
    assert np.array_equal(bare.pixels, back.pixels)
    assert fileformat.unpack(data).streams == fileformat.unpack(encoded.data).streams


def test_grey_stays_grey(codec: Model, picture: MakePicture) -> None:
    grey = Picture(np.repeat(picture().pixels[..., :1], 3, axis=2), grey=True)
    back = codec.decode(codec.encode(grey))
    assert back.grey
    assert np.array_equal(back.pixels[..., 0], back.pixels[..., 1])
    assert np.array_equal(back.pixels[..., 0], back.pixels[..., 2])
    coloured = codec.decode(codec.encode(Picture(grey.pixels)))
    assert not coloured.grey
    assert not np.array_equal(coloured.pixels[..., 0], coloured.pixels[..., 1])


# ── Damage ────────────────────────────────────────────────────────────────────────────────────────────────


def test_truncation_is_a_format_error(codec: Model, encoded: Encoded) -> None:
    data = encoded.data
    for length in [*range(50), *range(50, len(data), 37), len(data) - 1]:
        with pytest.raises(FormatError):
            codec.decode(data[:length])
    with pytest.raises(FormatError, match="expected the end after the last stream"):
        codec.decode(data + b"\0")


def test_any_flipped_bit_is_a_format_error(codec: Model, encoded: Encoded) -> None:
    rng = np.random.default_rng(7)
    sizes = fileformat.unpack(encoded.data).header.stream_lengths
    first = len(encoded.data) - sum(sizes)
    positions = [*range(0, first, 5), first, *rng.choice(np.arange(first, len(encoded.data)), 50, replace=False)]
    for position in positions:
        data = bytearray(encoded.data)
        data[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(FormatError):
            codec.decode(bytes(data))
    assert first < 40 < len(positions)


def flipped(data: bytes, stream: bytes) -> bytes:
    """The file with the first byte of a stream changed."""
    at = data.index(stream)
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


def test_of_a_damaged_file_the_intact_slices_are_shown(codec: Model, encoded: Encoded) -> None:
    file = fileformat.unpack(encoded.data)
    preview, whole = decode_file(file, codec, slices=1).picture, decode_file(file, codec).picture
    for damaged in (flipped(encoded.data, file.streams[2]), encoded.data[:-1], encoded.data[: -len(file.streams[2])]):
        found = fileformat.salvage(damaged)
        shown = decode_salvaged(found, codec).picture
        assert np.array_equal(shown.pixels, preview.pixels)
        assert "slice 2 stream" in shown.warnings[0]
        assert shown.warnings[-1] == "shown are 1 of 2 slices"
    untouched = decode_salvaged(fileformat.salvage(encoded.data), codec).picture
    assert np.array_equal(untouched.pixels, whole.pixels)
    assert untouched.warnings == ()
    for stream in file.streams[:2]:
        with pytest.raises(FormatError, match="^nothing can be shown: the (z|slice 1) stream"):
            decode_salvaged(fileformat.salvage(flipped(encoded.data, stream)), codec)


def test_salvage_reports_damage_that_no_stream_notices(codec: Model, encoded: Encoded) -> None:
    file = fileformat.unpack(encoded.data)
    other = fileformat.FedsFile(replace(file.header, checksum=1), file.streams)
    shown = decode_salvaged(fileformat.Salvage(other, 3, ()), codec).picture
    assert shown.warnings == (
        "the checksum of its symbols is wrong, and no stream tells that it is damaged", "shown are 2 of 2 slices"
    )  # fmt: skip


def test_streams_that_change_places_are_noticed(codec: Model, encoded: Encoded) -> None:
    file = fileformat.unpack(encoded.data)
    z, one, two = file.streams
    for streams in ((z, two, one), (b"", one, two), (z, one, b""), (z, one, one)):
        header = fileformat.Header(
            file.header.fingerprint, file.header.quality, 64, 48, False, tuple(map(len, streams)), file.header.checksum
        )
        with pytest.raises(FormatError):
            decode_file(fileformat.FedsFile(header, streams), codec)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fingerprint": b"\1" * 8}, r"written by the network 0101010101010101, but tiny is [0-9a-f]{16}"),
        ({"quality": 999}, r"asks for quality 0\.999, which tiny does not have"),
        ({"quality": 7001}, r"asks for quality 7\.001, which tiny does not have"),
        ({"quality": 3999}, "checksum of its symbols is wrong"),
        ({"grey": True}, "checksum of its symbols is wrong"),
        ({"width": 63}, "checksum of its symbols is wrong"),
        ({"width": 65}, "stream is damaged"),
        ({"checksum": 0}, "checksum of its symbols is wrong"),
    ],
)
def test_a_header_that_lies_is_noticed(
    changes: dict[str, object], sentence: str, codec: Model, encoded: Encoded
) -> None:
    file = fileformat.unpack(encoded.data)
    fields = {name: getattr(file.header, name) for name in file.header.__dataclass_fields__}
    header = fileformat.Header(**{**fields, **changes})
    with pytest.raises(FormatError, match=sentence):
        decode_file(fileformat.FedsFile(header, file.streams), codec)


def test_the_number_of_slices_is_the_networks(codec: Model, encoded: Encoded) -> None:
    file = fileformat.unpack(encoded.data)
    fewer = fileformat.assemble(
        fingerprint=file.header.fingerprint, quality=4000, width=64, height=48, grey=False,
        streams=file.streams[:2], symbols=[],
    )  # fmt: skip
    with pytest.raises(FormatError, match="holds 1 slices, but tiny has 2"):
        decode_file(fewer, codec)


def test_other_weights_do_not_decode(codec: Model, encoded: Encoded) -> None:
    other = object.__new__(Model)
    other.__dict__ = {**codec.__dict__, "fingerprint": b"\2" * 8}
    with pytest.raises(FormatError, match="but tiny is 0202020202020202"):
        other.decode(encoded.data)


# ── Limits and choices ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("quality", [0.0, 0.99, 7.01, 8.0, -1.0, 1e9])
def test_qualities_out_of_range_are_refused(quality: float, codec: Model, picture: MakePicture) -> None:
    with pytest.raises(FedsError, match=r"quality must lie between 1 and 7 for tiny, found"):
        codec.encode(picture(), quality)


@pytest.mark.parametrize("quality", [math.nan, math.inf, -math.inf])
def test_qualities_that_are_no_number_are_refused(quality: float, codec: Model, picture: MakePicture) -> None:
    with pytest.raises(FedsError, match=r"quality must lie between 1 and 7 for tiny, found"):
        codec.encode(picture(), quality)


def test_the_header_holds_the_quality_in_thousandths(codec: Model, picture: MakePicture) -> None:
    data = codec.encode(picture(), 3.14159)
    assert fileformat.read_header(data).quality == 3142
    assert codec.encode(picture(), 3.142) == data  # the gain is that of the header, not of what was asked for


def test_the_pixel_limit_holds(
    codec: Model, encoded: Encoded, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TooLargeError, match="64x48 pixels are more than the limit of 3071"):
        codec.decode(encoded.data, max_pixels=3071)
    assert codec.decode(encoded.data, max_pixels=3072).width == 64
    monkeypatch.setattr(fileformat, "PIXELS_AT_MOST", 3071)
    with pytest.raises(TooLargeError, match="64x48 pixels are more than the 3071 a file can hold"):
        codec.encode(picture())


@pytest.mark.parametrize(("width", "height"), [(300, 40), (130, 321)])
def test_tiles_change_nothing(
    width: int, height: int, codec: Model, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = picture(width=width, height=height)
    whole = encode_picture(original, codec, Encoding(quality=6.0))
    decoded = decode_file(fileformat.unpack(whole.data), codec)
    monkeypatch.setattr(tiles, "TRANSFORM_SIDE", {"cpu": 3})
    monkeypatch.setattr(stream_coders, "_CHUNK", 100)
    tiled = encode_picture(original, codec, Encoding(quality=6.0))
    different = sum(int((a != b).sum()) for a, b in zip(whole.symbols, tiled.symbols, strict=True))
    assert different <= 2  # a float that lay on the edge of two symbols
    again = decode_file(fileformat.unpack(whole.data), codec)
    assert same_symbols(again.symbols, whole.symbols)
    assert np.abs(again.picture.pixels.astype(int) - decoded.picture.pixels).max() <= 1


def test_progress_is_reported_and_ends_at_one(
    codec: Model, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TRANSFORM_SIDE", {"cpu": 4})
    told: list[float] = []
    encoded = encode_picture(picture(width=320), codec, Encoding(quality=3.0), progress=told.append)
    assert told == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8 + 0.2 / 3, 0.8 + 0.4 / 3, 1.0])
    told.clear()
    decode_file(fileformat.unpack(encoded.data), codec, progress=told.append)
    assert told == pytest.approx([0.2 / 3, 0.4 / 3, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert choose_device("cpu") == cpu
    for name in ("gpu", "mps", "cuda0", ""):
        with pytest.raises(FedsError, match=f"device must be auto, cpu or cuda, found {name}"):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == cpu
    with pytest.raises(FedsError, match="device cuda:1 was asked for, but torch finds no CUDA device here"):
        choose_device("cuda:1")
    monkeypatch.setenv("FEDS_DEVICE", "cuda:1")
    with pytest.raises(FedsError, match="device cuda:1 was asked for, but torch finds no CUDA device here"):
        choose_device("auto")
    assert choose_device("cpu") == cpu
    monkeypatch.setenv("FEDS_DEVICE", "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == cpu
    monkeypatch.delenv("FEDS_DEVICE")
    faults = {"cuda": "CUDA error: no kernel image is available for execution on the device"}
    monkeypatch.setattr(devices, "_fault_of", lambda name: faults.get(name, ""))
    with pytest.raises(FedsError, match=r"^device cuda cannot be used \(CUDA error: no kernel image is available "):
        choose_device("cuda")
    with pytest.warns(DeviceWarning, match=r"^the GPU cannot be used \(CUDA error: no .*\), continuing on the CPU$"):
        assert choose_device("auto") == cpu
    assert choose_device("cuda:1") == torch.device("cuda:1")
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        monkeypatch.setenv("FEDS_PRECISION", name)
        assert choose_precision(cpu) == dtype
    monkeypatch.setenv("FEDS_PRECISION", "float16")
    with pytest.raises(FedsError, match="FEDS_PRECISION must be float32 or bfloat16, found float16"):
        choose_precision(cpu)
    monkeypatch.delenv("FEDS_PRECISION")
    assert choose_precision(cpu) in (torch.float32, torch.bfloat16)


def test_bfloat16_only_where_a_gpu_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEDS_PRECISION", raising=False)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    for native in (False, True):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, n=native: n)
        assert choose_precision(torch.device("cuda")) == (torch.bfloat16 if native else torch.float32)


def test_a_program_with_settings_of_its_own_changes_nothing(
    codec: Model, encoded: Encoded, picture: MakePicture, tiny_weights: Weights
) -> None:
    pixels = codec.decode(encoded.data).pixels
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert encode_picture(picture(), codec, Encoding(quality=4.0)).data == encoded.data
        assert np.array_equal(codec.decode(encoded.data).pixels, pixels)
    with torch.device("meta"):
        loaded = Model(tiny_weights, name="tiny", quality=4.0, device="cpu", precision=torch.float32)
    assert np.array_equal(loaded.decode(encoded.data).pixels, pixels)


def test_bfloat16_decodes_what_float32_encoded(
    codec: Model, encoded: Encoded, tiny_weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDS_PRECISION", "bfloat16")
    model = Model(tiny_weights, name="tiny", quality=4.0, device="cpu")
    assert model.precision == torch.bfloat16
    decoded = decode_file(fileformat.unpack(encoded.data), model)
    assert same_symbols(decoded.symbols, encoded.symbols)
    exact = codec.decode(encoded.data).pixels.astype(int)
    assert 0 < np.abs(decoded.picture.pixels - exact).mean() < 3


def test_float32_decodes_what_bfloat16_encoded(codec: Model, tiny_weights: Weights, picture: MakePicture) -> None:
    model = Model(tiny_weights, name="tiny", quality=4.0, device="cpu", precision=torch.bfloat16)
    encoded = encode_picture(picture(), model, Encoding(quality=4.0))
    assert same_symbols(decode_file(fileformat.unpack(encoded.data), codec).symbols, encoded.symbols)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["waves", "noise", "checkerboard"])
def test_cpu_and_gpu_decode_each_other(kind: str, codec: Model, tiny_weights: Weights, picture: MakePicture) -> None:
    gpu = Model(tiny_weights, name="tiny", quality=4.0, device="cuda")
    for writer, reader in ((codec, gpu), (gpu, codec)):
        encoded = encode_picture(picture(kind, 130, 70), writer, Encoding(quality=7.0))
        file = fileformat.unpack(encoded.data)
        found, own = decode_file(file, reader), decode_file(file, writer)
        assert same_symbols(found.symbols, encoded.symbols)
        assert same_symbols(own.symbols, encoded.symbols)
        assert np.abs(found.picture.pixels.astype(int) - own.picture.pixels).mean() < 3


# ── PSNR ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_psnr_against_numpy(picture: MakePicture) -> None:
    a, b = picture(seed=0), picture(seed=1)
    error = ((a.pixels.astype(float) - b.pixels.astype(float)) ** 2).mean()
    assert psnr(a.pixels, b.pixels) == pytest.approx(10 * np.log10(255**2 / error), rel=1e-12)
    assert psnr(a.pixels, a.pixels) == math.inf
    black, white = (Picture(np.full((2, 3, 3), v, dtype=np.uint8)) for v in (0, 255))
    assert psnr(black.pixels, white.pixels) == 0.0
    assert psnr(black.pixels, np.full((2, 3, 3), 1, dtype=np.uint8)) == pytest.approx(48.1308036)
    with pytest.raises(FedsError, match="expected pictures of the same size"):
        psnr(a.pixels, black.pixels)

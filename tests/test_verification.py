"""`feds verify` and `feds encode --verify`: sound files pass, everything else is named and nothing of it is written."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fedscodec.cli import app
from fedscodec.codec import beside, encoding, single
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.settings import Encoding
from fedscodec.codec.verification import Verdict, require_same, symbols_sha256, verify
from fedscodec.errors import FormatError
from fedscodec.fileformat import FedsFile, pack, unpack
from fedscodec.images import Picture, pack_alpha, srgb_profile

CORPUS = Path(__file__).parent / "conformance" / "v1"
NOISE = "03ab044de800b6e01adbbac6a111f131e0899dcf507ea7a9ed9366c6487a0db0"


def feds(*arguments, stdin=None):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="feds")
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A sound file, one whose last stream is changed, and one that is cut, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(CORPUS / "noise-q7.feds", "sound.feds")
    data = bytearray(Path("sound.feds").read_bytes())
    Path("cut.feds").write_bytes(data[:-1])
    data[-3] ^= 4
    Path("flipped.feds").write_bytes(data)


def test_one_line_a_file_and_an_exit_code(files):
    result = feds("verify", "sound.feds", "cut.feds", "flipped.feds", "absent.feds", "--device", "cpu")
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr, len(lines)) == (1, "", 4)
    assert lines[0] == f"sound.feds: OK, 80x96 pixels, q7 of tiny, symbols {NOISE[:16]}"
    assert lines[1] == "cut.feds: FAILED: the slice 2 stream needs 228 bytes but only 227 are left"
    assert lines[2].startswith("flipped.feds: FAILED: ")
    assert lines[3] == "absent.feds: FAILED: cannot be read (No such file or directory)"
    assert feds("verify", "sound.feds", "sound.feds").exit_code == 0


def test_of_a_file_without_loss_the_pixels_are_hashed(files):
    pixels = np.full((100, 200, 3), (3, 200, 90), np.uint8)
    Image.fromarray(pixels).save("flat.png")
    assert feds("encode", "flat.png", "-q", "--device", "cpu").exit_code == 0
    found = json.loads(feds("verify", "--json", "flat.feds").stdout)
    expected = hashlib.sha256(pixels.tobytes()).hexdigest()
    assert (found["lossless"], found["symbols_sha256"], found["pixels_sha256"]) == (True, None, expected)
    line = feds("verify", "flat.feds", "--device", "cpu").stdout
    assert line == f"flat.feds: OK, 200x100 pixels, without loss, pixels {expected[:16]}\n"


def test_folders_are_searched_to_their_end(files):
    Path("below/deep").mkdir(parents=True)
    Path("below/.hidden").mkdir()
    for place in ("below/b.feds", "below/deep/a.FEDS", "below/.c.feds", "below/.hidden/d.feds", "below/x.png"):
        shutil.copy("sound.feds", place)
    lines = feds("verify", "below", "cut.feds", "--device", "cpu").stdout.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["below/b.feds", "OK, 80x96 pixels, q7 of tiny, symbols 03ab044de800b6e0"],
        ["below/deep/a.FEDS", "OK, 80x96 pixels, q7 of tiny, symbols 03ab044de800b6e0"],
        ["cut.feds", "FAILED"],
    ]
    told = [json.loads(line)["file"] for line in feds("info", "below", "--json").stdout.splitlines()]
    assert told == ["below/b.feds", "below/deep/a.FEDS"]
    Path("empty").mkdir()
    result = feds("verify", "empty")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "feds: empty: expected a file or a folder with .feds files, found a folder without\n"


def test_the_network_can_be_given(files, monkeypatch):
    own = shutil.copy(Path(__file__).parents[1] / "weights" / "tiny.safetensors", "own.safetensors")
    monkeypatch.setenv("FEDS_WEIGHTS", "")
    monkeypatch.setattr("fedscodec.registry.folders", list)
    missing = "was written by the network ee506800deecf45c, which is not installed; installed are none; "
    hint = "its weights file can be given as the model, or its folder in FEDS_WEIGHTS"
    assert feds("verify", "sound.feds").stdout == f"sound.feds: FAILED: {missing}{hint}\n"
    assert feds("verify", "sound.feds", "--model", own).stdout.startswith("sound.feds: OK, 80x96 pixels, q7 of own, ")
    assert feds("decode", "sound.feds", "-o", "a.png").stderr == f"feds: sound.feds: {missing}{hint}\n"
    assert feds("decode", "sound.feds", "-o", "a.png", "--model", own).exit_code == 0
    assert feds("decode", "sound.feds", "sound.feds", "-o", "out/", "--model", own).exit_code == 0
    assert Path("out/sound.png").read_bytes() == Path("a.png").read_bytes()


def test_quiet_reports_damaged_files_only(files):
    result = feds("verify", "--quiet", "sound.feds", "cut.feds")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["cut.feds: FAILED: the slice 2 stream needs 228 bytes but only 227 are left"]


def test_json_has_an_object_a_line(files):
    result = feds("verify", "--json", "sound.feds", "cut.feds")
    sound, cut = map(json.loads, result.stdout.splitlines())
    assert sound == {
        "sound": True,
        "file": "sound.feds",
        "fault": None,
        "stream": None,
        "model": "tiny",
        "fingerprint": "ee506800deecf45c",
        "quality": 7.0,
        "width": 80,
        "height": 96,
        "bytes": 533,
        "symbols_sha256": NOISE,
        "lossless": False,
        "pixels_sha256": None,
    }
    assert (cut["sound"], cut["file"], cut["symbols_sha256"]) == (False, "cut.feds", None)
    assert cut["fault"] == "the slice 2 stream needs 228 bytes but only 227 are left"
    assert cut["stream"] == 2


@pytest.mark.parametrize(
    ("name", "stream"),
    [
        ("z-ends-early", 0), ("z-too-long", 0), ("slice-1-empty", 1), ("slice-2-longer", 2), ("stream-cut", 2),
        ("sums-of-other-streams", 0), ("checksum-flipped", None), ("box-flipped", None), ("alpha-colours-webp", None),
    ],
)  # fmt: skip
def test_json_has_the_number_of_the_broken_stream(name, stream):
    result = feds("verify", "--json", CORPUS.parent.parent / "hostile" / f"{name}.feds", "--device", "cpu")
    verdict = json.loads(result.stdout)
    assert (verdict["sound"], verdict["stream"]) == (False, stream)
    assert verdict["fault"]


def test_standard_input(files):
    result = feds("verify", "-", stdin=Path("sound.feds").read_bytes())
    assert result.exit_code == 0
    assert result.stdout.startswith("standard input: OK, ")


def test_a_limit_is_a_fault_like_any_other(files):
    result = feds("verify", "sound.feds", "--max-pixels", "7679")
    assert result.exit_code == 1
    assert "80x96 pixels are more than the limit of 7679" in result.stdout


def test_the_network_is_asked_for_by_the_files_fingerprint(codec, picture):
    data = codec.encode(picture())
    asked = []

    def model_of(fingerprint, name):
        asked.append((fingerprint, name))
        return codec

    verdict = verify(data, "a", model_of)
    assert asked == [(codec.fingerprint, "a")]
    assert verdict.sound
    assert verdict.symbols_sha256 == symbols_sha256(encode_picture(picture(), codec, Encoding(quality=4.0)).symbols)
    assert not Verdict("a", fault="").sound


def test_the_hash_is_of_little_endian_int16():
    symbols = [np.array([1, -2], dtype=np.int32), np.array([300], dtype=np.int32)]
    # SHA-256 of 01 00 fe ff 2c 01
    assert symbols_sha256(symbols) == "449c6a1f60e95b7c5cbc273adb0b1500608f742c10489e5cc45e6cdf549cf45b"


def test_what_decodes_to_other_symbols_is_named(codec, picture):
    encoded = encode_picture(picture(), codec, Encoding(quality=4.0))
    require_same(encoded, picture(), codec)
    encoded.symbols[1][5] += 1
    with pytest.raises(FormatError, match="^a.png: the slice 1 stream decodes to other symbols; nothing was written$"):
        require_same(encoded, picture(), codec, name="a.png")
    encoded.data = encoded.data[:-1]
    with pytest.raises(FormatError, match=r"^a.png: the encoded file does not decode \(.*\); nothing was"):
        require_same(encoded, picture(), codec, name="a.png")


PLANE = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)


def test_alpha_and_what_else_is_kept_are_compared_too(codec, picture):
    """With each of them changed behind the encoder's back, and with it missing."""
    pixels = picture().pixels
    original = Picture(pixels, icc=srgb_profile()[:-4] + b"\1\2\3\4", exif=b"II*\0 exif", xmp=b"<x/>", alpha=PLANE)
    encoded = encode_picture(original, codec, Encoding(quality=4.0))
    require_same(encoded, original, codec)
    file = unpack(encoded.data)
    other = PLANE.copy()
    other[7, 9] ^= 1
    wrong = {b"ALPH": pack_alpha(other), b"EXIF": b"II*\0 exi!", b"XMP ": b"<y/>"}
    for kind, what in ((b"ALPH", "alpha"), (b"EXIF", "Exif"), (b"XMP ", "XMP")):
        for payload in (wrong[kind], None):
            boxes = {k: v for k, v in file.boxes.items() if k != kind} | ({kind: payload} if payload else {})
            encoded.data = pack(FedsFile(file.header, file.streams, boxes))
            with pytest.raises(FormatError, match=f"^a.png: its {what} would come back changed; nothing was written$"):
                require_same(encoded, original, codec, name="a.png")
    encoded.data = pack(FedsFile(file.header, file.streams, {b"ALPH": b"RIFF"}))
    with pytest.raises(FormatError, match=r"^a.png: the encoded file does not decode \(the ALPH box should hold"):
        require_same(encoded, original, codec, name="a.png")
    encoded.data = pack(FedsFile(file.header, file.streams))
    with pytest.raises(FormatError, match="^a.png: its alpha and .*Exif and XMP would come back changed; nothing was"):
        require_same(encoded, original, codec, name="a.png")


@pytest.mark.parametrize("grey", [False, True])
def test_a_picture_with_nothing_beside_it_and_one_in_srgb_pass(codec, picture, grey):
    pixels = np.repeat(picture().pixels[..., :1], 3, 2) if grey else picture().pixels
    for original in (Picture(pixels, grey), Picture(pixels, grey, icc=srgb_profile(), exif=b"", xmp=b"")):
        require_same(encode_picture(original, codec, Encoding(quality=4.0)), original, codec)


def test_encode_verifies_alpha_before_it_writes(files, monkeypatch):
    image = Image.open(CORPUS / "noise-q7.png").convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save("photo.png")
    command = ("encode", "photo.png", "--model", "tiny", "--device", "cpu", "--verify")
    assert feds(*command).exit_code == 0
    good = Path("photo.feds").read_bytes()
    monkeypatch.setattr(beside, "pack_alpha", lambda plane: pack_alpha(plane // 2))
    result = feds(*command, "--force")
    assert result.exit_code == 1
    assert result.stderr == "feds: photo.png: its alpha would come back changed; nothing was written\n"
    assert Path("photo.feds").read_bytes() == good
    many = feds(*command[:2], "photo.png", *command[2:], "--force")
    assert many.exit_code == 1
    assert "photo.png: its alpha would come back changed; nothing was written" in many.stderr


def test_encode_verifies_before_it_writes(files, monkeypatch):
    shutil.copy(CORPUS / "noise-q7.png", "photo.png")
    command = ("encode", "photo.png", "--model", "tiny", "--device", "cpu", "--verify", "--force")
    assert feds(*command).exit_code == 0
    good = Path("photo.feds").read_bytes()
    honest = encoding.encode_picture

    def flawed(*arguments, **options):
        encoded = honest(*arguments, **options)
        encoded.symbols[0][0] += 1
        return encoded

    monkeypatch.setattr(single, "encode_picture", flawed)
    result = feds(*command, "--quality", "1")
    assert result.exit_code == 1
    assert result.stderr == "feds: photo.png: the z stream decodes to other symbols; nothing was written\n"
    assert Path("photo.feds").read_bytes() == good

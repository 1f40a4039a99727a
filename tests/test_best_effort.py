"""`feds decode --best-effort` and `fedscodec.decode(best_effort=True)`: a picture, a sentence, exit code 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fedscodec
from fedscodec.boxes import ALPHA, EXIF, ICC
from fedscodec.cli import app
from fedscodec.errors import DamageWarning, FormatError
from fedscodec.fileformat import FedsFile, pack, unpack
from fedscodec.images import srgb_profile

SOUND = Path(__file__).parent / "conformance" / "v1" / "photo-64x64-q1.feds"


def test_a_truncated_file_is_shown_and_reported(tmp_path: Path) -> None:
    data = SOUND.read_bytes()
    cut = tmp_path / "cut.feds"
    cut.write_bytes(data[:-1])
    strict = CliRunner().invoke(app, ["decode", str(cut)])
    assert (strict.exit_code, list(tmp_path.glob("*.png"))) == (1, [])
    shown = CliRunner().invoke(app, ["decode", "--best-effort", str(cut)])
    assert shown.exit_code == 3
    sentence = f"ends after {len(data) - 1} bytes inside the slice 2 stream; shown are 1 of 2 slices"
    assert f"feds: {cut}: {sentence}" in shown.stderr
    with pytest.warns(DamageWarning, match=f"^{cut}: {sentence}$"):
        image = fedscodec.decode(cut, best_effort=True)
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / "cut.png")))
    again = CliRunner().invoke(app, ["decode", "--best-effort", str(cut), str(SOUND)])
    assert again.exit_code == 2
    assert "--best-effort takes one file at a time" in again.stderr


def test_an_intact_file_decodes_with_best_effort(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["decode", "--best-effort", str(SOUND), "-o", str(tmp_path / "a.png")])
    assert result.exit_code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), np.asarray(fedscodec.decode(SOUND)))
    with pytest.raises(FormatError, match="nothing can be shown: ends after"):
        fedscodec.decode(SOUND.read_bytes()[:50], best_effort=True)


def test_stream_checks_name_the_damaged_stream(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.effect_noise((70, 50), 60).save(picture)
    plain = fedscodec.encode(picture, "tiny")
    command = ["encode", str(picture), "--model", "tiny", "--stream-checks", "-o", str(tmp_path / "a.feds")]
    assert CliRunner().invoke(app, command).exit_code == 0
    data = (tmp_path / "a.feds").read_bytes()
    assert data == fedscodec.encode(picture, "tiny", stream_checks=True)
    assert len(data) == len(plain) + 1 + 4 + 1 + 3 * 2 + 4
    damaged = data[: len(plain) - 1] + bytes([data[len(plain) - 1] ^ 1]) + data[len(plain) :]
    with pytest.raises(FormatError, match="the slice 2 stream is damaged [(]its sum does not fit its bytes"):
        fedscodec.decode(damaged)
    with pytest.warns(DamageWarning, match="the slice 2 stream is damaged; shown are 1 of 2 slices"):
        fedscodec.decode(damaged, best_effort=True)


def with_everything(tmp_path: Path) -> bytes:
    """A file of a picture with alpha, Exif, XMP and a profile of its own."""
    picture = tmp_path / "a.png"
    noise = [Image.effect_noise((40, 30), 60) for _ in range(3)]
    image = Image.merge("RGBA", [*noise, Image.new("L", (40, 30), 77)])
    exif, profile = Image.Exif(), bytearray(srgb_profile() or b"")
    exif[0x010F] = "feds"
    profile[len(profile) // 2 :] = bytes(len(profile) - len(profile) // 2)
    image.save(picture, exif=exif.tobytes(), icc_profile=bytes(profile))
    data = fedscodec.encode(picture, "tiny")
    assert list(unpack(data).boxes) == [ICC, EXIF, ALPHA]
    return data


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        (b"ALPH", "the picture is shown opaque"),
        (b"ICCZ", "its colours are shown without their profile"),
        (b"exiz", "its Exif is lost"),
    ],
)
def test_a_damaged_box_is_left_out_and_reported(tmp_path: Path, kind: bytes, without: str) -> None:
    data = with_everything(tmp_path)
    at = data.index(kind) + 8
    cut = tmp_path / "cut.feds"
    cut.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    result = CliRunner().invoke(app, ["decode", "--best-effort", str(cut)])
    assert result.exit_code == 3
    words = f"the {kind.decode()} box is damaged (its checksum is wrong); {without}"
    assert f"feds: {cut}: {words}; shown are 2 of 2 slices\n" in result.stderr
    sound, image = fedscodec.decode(data), Image.open(tmp_path / "cut.png")
    assert np.array_equal(np.asarray(image)[..., :3], np.asarray(sound)[..., :3])
    assert image.mode == ("RGB" if kind == b"ALPH" else "RGBA")
    assert ("exif" in image.info) == (kind != b"exiz")
    assert ("icc_profile" in image.info) == (kind != b"ICCZ")


def test_damaged_alpha_is_shown_opaque(tmp_path: Path) -> None:
    file = unpack(with_everything(tmp_path))
    wrong = pack(FedsFile(file.header, file.streams, {ALPHA: b"GIF89a"}))
    words = "the file: the ALPH box should hold a PNG or WebP, found the bytes 47494638"
    with pytest.raises(FormatError, match=f"^{words}$"):
        fedscodec.decode(wrong)
    with pytest.warns(DamageWarning, match=f"^{words}; the picture is shown opaque$"):
        image = fedscodec.decode(wrong, best_effort=True)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(fedscodec.decode(pack(FedsFile(file.header, file.streams)))))


def test_strip_leaves_out_metadata(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x010F] = "feds"
    Image.effect_noise((40, 30), 60).save(picture, exif=exif.tobytes())
    for options, kept in (([], True), (["--strip"], False)):
        command = ["encode", str(picture), "--model", "tiny", "-f", "-o", str(tmp_path / "a.feds"), *options]
        assert CliRunner().invoke(app, command).exit_code == 0
        assert ("exif" in fedscodec.decode(tmp_path / "a.feds").info) == kept
    assert fedscodec.encode(picture, "tiny", strip=True) == (tmp_path / "a.feds").read_bytes()

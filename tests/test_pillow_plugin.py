"""`.feds` as a format of Pillow; the subjects are those of the tests that Pillow has for its own formats."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import fedscodec
from fedscodec import registry
from fedscodec.codec import model as loading
from fedscodec.fileformat import HEADER_BYTES_AT_MOST, assemble, pack, read_header
from fedscodec.images.colour.icc import profile_of
from fedscodec.pillow import plugin as pillow_plugin

HERE = Path(__file__).parent
V1 = HERE / "conformance" / "v1"
PHOTO = V1 / "photo-127x65-q3.5.feds"
ICC = profile_of((0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), "Display P3")
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\x04\0\0\0abc\0\0\0\0\0"  # the maker is "abc"
XMP = b"<x:xmpmeta/>"


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setenv("FEDS_DEVICE", "cpu")


@pytest.fixture(scope="module")
def tiny():
    return fedscodec.load_model("tiny-q3", device="cpu")


@pytest.fixture
def waves(picture):
    return Image.fromarray(picture("waves", width=70, height=40).pixels)


def saved(image, **options):
    buffer = BytesIO()
    image.save(buffer, "FEDS", **{"model": "tiny", **options})
    return buffer.getvalue()


def opened(data):
    return Image.open(BytesIO(data))


# ── Opening and loading ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["photo-127x65-q3.5", "grey-q3", "one-pixel-q4", "one-column-q7"])
def test_sanity(name):
    with Image.open(V1 / f"{name}.png") as expected, Image.open(V1 / f"{name}.feds") as image:
        assert (image.format, image.format_description) == ("FEDS", "feds, a learned image codec")
        assert (image.mode, image.size) == (expected.mode, expected.size)
        assert image.get_format_mimetype() == "image/x-feds"
        difference = np.asarray(image).astype(int) - np.asarray(expected)
        assert np.abs(difference).max() <= 1  # pixels are floats, and those of other machines


def test_opening_reads_the_header_alone():
    class Counting(BytesIO):
        taken = 0

        def read(self, size=-1):
            data = super().read(size)
            self.taken = max(self.taken, self.tell())
            return data

    data = PHOTO.read_bytes() + bytes(10_000)
    stream = Counting(data)
    with Image.open(stream) as image:
        assert image.size == (127, 65)
        assert image.info == {"quality": 3.5, "fingerprint": read_header(data).fingerprint.hex()}
        assert stream.taken <= HEADER_BYTES_AT_MOST


def test_nothing_is_decoded_before_load(monkeypatch):
    calls = []
    monkeypatch.setattr(pillow_plugin, "_decode", lambda *given: calls.append(given) or Image.new("RGB", (127, 65)))
    with Image.open(PHOTO) as image:
        assert calls == []
        image.load()
        image.load()
        assert len(calls) == 1


def test_load_twice_and_use_after_the_file_is_closed():
    with Image.open(PHOTO) as image:
        before = image.load()[3, 4]
        assert image.load()[3, 4] == before
    assert image.getpixel((3, 4)) == before
    assert image.copy().getpixel((3, 4)) == before


def test_the_same_as_the_library(tiny):
    with Image.open(PHOTO) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(fedscodec.decode(PHOTO, device="cpu")))


def test_a_file_that_pillow_opened_is_closed_after_loading():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an open file that is dropped gives a ResourceWarning
        image = Image.open(PHOTO)
        image.load()
        assert image.fp is None
        del image


def test_a_stream_without_a_name_and_one_that_starts_elsewhere():
    stream = BytesIO(b"before" + PHOTO.read_bytes())
    stream.seek(6)
    image = pillow_plugin.FedsImageFile(stream)
    assert image.filename == ""
    image.load()
    assert not stream.closed


def test_thumbnails_decode_previews(tiny, monkeypatch):
    asked = []
    real = pillow_plugin._decode
    monkeypatch.setattr(
        pillow_plugin, "_decode", lambda data, how, name: asked.append(how.size) or real(data, how, name)
    )
    with Image.open(PHOTO) as image:
        image.thumbnail((20, 20))
        assert (image.size, asked) == ((20, 10), [79])  # Pillow asks for twice 20 on either side
    with Image.open(PHOTO) as image:
        assert image.draft(None, (200, 200)) is None
        assert image.draft("RGB", (30, 30)) == ("RGB", (0, 0, 59.0, 30.0))
        image.load()
        assert image.draft("RGB", (10, 10)) is None
        expected = fedscodec.decode(PHOTO, model=tiny, size=59)
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


def test_one_frame():
    with Image.open(PHOTO) as image:
        assert (getattr(image, "n_frames", 1), getattr(image, "is_animated", False)) == (1, False)
        assert image.tell() == 0
        image.seek(0)
        with pytest.raises(EOFError):
            image.seek(1)


def test_parsed_piece_by_piece():
    parser = ImageFile.Parser()
    data = PHOTO.read_bytes()
    for start in range(0, len(data), 100):
        parser.feed(data[start : start + 100])
    with parser.close() as image:
        assert image.size == (127, 65)
        image.load()


def test_pickles_with_its_pixels():
    with Image.open(PHOTO) as image:
        again = pickle.loads(pickle.dumps(image))
        np.testing.assert_array_equal(np.asarray(again), np.asarray(image))


# ── What is wrong with a file ─────────────────────────────────────────────────────────────────────────────


def test_what_is_no_feds_file():
    with pytest.raises(SyntaxError, match="not a .feds file"):
        pillow_plugin.FedsImageFile(V1 / "grey-q3.png")
    with pytest.raises(UnidentifiedImageError):
        opened(b"FEDS")
    damaged = bytearray(PHOTO.read_bytes())
    damaged[14] ^= 1
    with pytest.raises(SyntaxError, match="the header is damaged"):
        pillow_plugin.FedsImageFile(BytesIO(damaged))


@pytest.mark.parametrize("left", [0, 3, 10, 20])
def test_cut_inside_the_header(left):
    with pytest.raises(UnidentifiedImageError):
        opened(PHOTO.read_bytes()[:left])


@pytest.mark.parametrize("lost", [1, 20, 200])
def test_cut_inside_a_stream(lost):
    with opened(PHOTO.read_bytes()[:-lost]) as image:
        assert image.size == (127, 65)
        with pytest.raises(OSError, match=r"the slice 2 stream needs \d+ bytes but only \d+ are left|the slice 1"):
            image.load()


def test_damaged_symbols():
    data = bytearray(PHOTO.read_bytes())
    data[-9] ^= 0x10
    with opened(data) as image, pytest.raises(OSError, match="damaged"):
        image.load()


def test_a_cut_file_shows_what_is_left_where_pillow_is_told_to(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = PHOTO.read_bytes()
    with opened(whole) as image:
        assert np.array_equal(np.asarray(image), np.asarray(fedscodec.decode(whole)))
    cut = whole[:-20]
    with pytest.warns(fedscodec.DamageWarning, match="shown are 1 of 2 slices") as caught, opened(cut) as image:
        image.thumbnail((30, 30))
        assert image.size == (30, 15)
    assert len(caught) == 1
    with pytest.warns(fedscodec.DamageWarning):
        left = fedscodec.decode(cut, best_effort=True)
    left.thumbnail((30, 30))
    assert np.array_equal(np.asarray(image), np.asarray(left))
    with opened(whole[:60]) as image, pytest.raises(OSError, match="nothing can be shown"):
        image.load()


def test_a_network_that_is_not_installed():
    lengths = {"fingerprint": b"\xee" * 8, "quality": 3000, "width": 8, "height": 8, "grey": False}
    data = pack(assemble(**lengths, streams=(b"12", b"34"), symbols=()))
    with opened(data) as image, pytest.raises(OSError, match="written by the network eeeeeeeeeeeeeeee"):
        image.load()


def test_verify_checks_everything_that_is_not_coded(waves):
    data = saved(waves, exif=EXIF)
    with opened(data) as image:
        image.verify()
    for wrong in (data[:-1], data + b"more"):
        with opened(wrong) as image, pytest.raises(OSError, match="needs|found 4 bytes more"):
            image.verify()


def test_the_limit_of_pillow_holds_before_anything_is_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 127 * 65 - 1)
    with pytest.raises(Image.DecompressionBombWarning):
        Image.open(PHOTO)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 127 * 65 // 2 - 1)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(PHOTO)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.open(PHOTO).close()


# ── Saving ────────────────────────────────────────────────────────────────────────────────────────────────


def test_save_by_suffix_with_a_name_a_quality_and_a_model(waves, tmp_path, tiny):
    expected = fedscodec.encode(waves, tiny)
    waves.save(tmp_path / "a.feds", model="tiny-q3")
    assert (tmp_path / "a.feds").read_bytes() == expected
    assert saved(waves, model=tiny) == expected
    assert saved(waves, quality=3) == expected
    assert read_header(saved(waves, model="tiny-q3", quality=6.25)).quality == 6250
    size = len(expected) + 5
    assert saved(waves, model=tiny, size=size) == fedscodec.encode(waves, tiny, size=size)
    with Image.open(tmp_path / "a.feds") as image:
        assert (image.size, image.mode, image.info["quality"]) == ((70, 40), "RGB", 3.0)


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "YCbCr", "HSV", "LAB", "CMYK", "I;16", "F", "RGBX"])
def test_modes(mode, waves):
    kept = {"L": "L", "1": "L", "I;16": "L", "F": "L"}
    image = waves.convert("L").point(lambda x: x / 255.0, "F") if mode == "F" else None
    image = image or (waves.convert("I").convert(mode) if mode == "I;16" else waves.convert(mode))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        data = saved(image)
    with opened(data) as back:
        assert (back.mode, back.size) == (kept.get(mode, "RGB"), image.size)
    told = [one for one in told if "The ICC profile is for" not in str(one.message)]  # Pillow keeps that of RGB
    lossy = {"LAB": "Lab was", "CMYK": "CMYK was", "I;16": "16-bit grey was", "F": "Floating-point grey was"}
    assert [str(one.message)[: len(lossy[mode])] for one in told] == ([lossy[mode]] if mode in lossy else [])
    assert {one.category for one in told} <= {fedscodec.NotKeptWarning}
    assert {one.filename for one in told} <= {__file__}  # it points at whoever saved


def test_one_of_many_frames_is_saved_and_the_others_are_reported(waves, tmp_path, tiny):
    with pytest.warns(fedscodec.NotKeptWarning, match="holds one picture: 2 more were not kept"):
        waves.save(tmp_path / "a.feds", model=tiny, save_all=True, append_images=[waves, waves])
    waves.save(tmp_path / "frames.gif", save_all=True, append_images=[waves.rotate(90)])
    with Image.open(tmp_path / "frames.gif") as frames, pytest.warns(fedscodec.NotKeptWarning, match="frame 1 of 2"):
        frames.save(tmp_path / "b.feds", model=tiny, save_all=True)
    with Image.open(tmp_path / "b.feds") as image:
        assert image.size == waves.size


def test_the_library_reports_what_is_not_kept(waves, tiny):
    deep = BytesIO()
    waves.convert("I;16").save(deep, "PNG")
    with pytest.warns(fedscodec.NotKeptWarning, match="^16-bit grey was reduced to 8 bits[.]$") as told:
        fedscodec.encode(deep.getvalue(), tiny)
    assert [one.filename for one in told] == [__file__]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_comes_back_as_it_was(waves, mode):
    clear = waves.convert(mode)
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    with opened(saved(clear)) as back:
        assert back.mode == mode
        back.load()
        assert back.mode == mode
        assert np.array_equal(np.asarray(back)[..., -1], np.asarray(clear)[..., -1])


def test_metadata_is_kept_replaced_or_dropped(waves):
    data = saved(waves, icc_profile=ICC, exif=EXIF, xmp=XMP)
    with opened(data) as image:
        assert image.info["icc_profile"] == ICC
        assert (image.info["exif"], image.info["xmp"]) == (EXIF, XMP)
        assert image.getexif()[0x010F] == "abc"
        again = opened(saved(image))
        plain = opened(saved(image, icc_profile=b"", exif=b"", xmp=b""))
        other = Image.Exif()
        other[0x010F] = "def"
        changed = saved(image, exif=other)
    assert (again.info["icc_profile"], again.info["exif"], again.info["xmp"]) == (ICC, EXIF, XMP)
    assert plain.info.keys() == {"quality", "fingerprint"}
    assert opened(changed).getexif()[0x010F] == "def"
    assert opened(data[:-1]).info.keys() == {"quality", "fingerprint"}  # cut: the rest is for load to tell


def test_a_turned_picture_is_saved_as_it_is_seen(waves):
    turned = Image.Exif()
    turned[0x0112] = 6
    with opened(saved(waves, exif=turned)) as image:
        assert image.size == (40, 70)
        assert 0x0112 not in image.getexif()


def test_what_cannot_be_saved(waves, tmp_path):
    with pytest.raises(OSError, match="nobody: no such model"):
        waves.save(tmp_path / "a.feds", model="nobody")
    assert not (tmp_path / "a.feds").exists()
    with pytest.raises(OSError, match="quality must lie between 1 and 7 for tiny, found 9"):
        saved(waves, quality=9)
    with pytest.raises(
        OSError, match="^use only one of quality, bpp, size, psnr, ms_ssim, ssimulacra2 and butteraugli$"
    ):
        saved(waves, quality=3, bpp=1)
    with pytest.raises(OSError, match="^the picture: 9 bytes cannot be reached: q1, the lowest quality of tiny, comes"):
        saved(waves, size=9)
    with pytest.raises(OSError, match="at least 1 x 1 pixel"):
        saved(Image.new("RGB", (0, 5)))


def test_a_network_is_loaded_once(waves, monkeypatch):
    pillow_plugin._reader.cache_clear()
    loads = []
    real = loading.model_by_fingerprint
    monkeypatch.setattr(loading, "model_by_fingerprint", lambda *a, **k: loads.append(a) or real(*a, **k))
    data = saved(waves)
    for _ in range(3):
        opened(data).load()
    assert len(loads) == 1


def test_the_weights_of_a_path_are_those_that_lie_there_now(waves, tmp_path, monkeypatch):
    for folder, network in ("a", "tiny"), ("b", "student"):
        (tmp_path / folder).mkdir()
        shutil.copy(registry.resolve(network).path, tmp_path / folder / "mine.safetensors")
    wanted = {name: registry.describe(registry.resolve(name).path).fingerprint for name in ("tiny", "student")}
    monkeypatch.chdir(tmp_path / "a")
    assert read_header(saved(waves, model="mine.safetensors")).fingerprint.hex() == wanted["tiny"]
    monkeypatch.chdir(tmp_path / "b")
    assert read_header(saved(waves, model="mine.safetensors")).fingerprint.hex() == wanted["student"]
    shutil.copy(tmp_path / "a" / "mine.safetensors", tmp_path / "b")
    assert read_header(saved(waves, model="mine.safetensors")).fingerprint.hex() == wanted["tiny"]


# ── How Pillow comes to know ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "lines",
    [
        "import fedscodec; from PIL import Image",
        "from PIL import Image; import fedscodec",
        "import fedscodec, PIL.ImageFile; from PIL import Image",
        "import fedscodec, PIL.PngImagePlugin; from PIL import Image",
        "from PIL import Image; import fedscodec.pillow.plugin",
        "import fedscodec, importlib.util as u; [u.find_spec('PIL.Image') for _ in 'ab']; from PIL import Image",
    ],
)
def test_the_order_of_imports_makes_no_difference(lines):
    heavy = "{'torch', 'numpy', 'fedscodec.codec.model'} & set(sys.modules)"
    finders = "[f for f in sys.meta_path if type(f).__module__.startswith('fedscodec')]"
    script = f"import sys\n{lines}\nprint(Image.open({str(PHOTO)!r}).size, {heavy}, {finders})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=HERE.parent)
    assert (run.stdout, run.stderr) == ("(127, 65) set() []\n", "")


def test_without_pillow_nothing_is_registered_and_nothing_breaks(tmp_path):
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").touch()
    script = "import fedscodec\ntry:\n    import PIL.Image\nexcept ImportError as error:\n    print(error)"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{HERE.parent}"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert (run.stdout, run.stderr) == ("No module named 'PIL.Image'\n", "")

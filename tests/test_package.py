"""The three functions that most programs need."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fedscodec
from fedscodec import cli
from fedscodec.boxes import STREAM_CHECKS
from fedscodec.codec import model as loading
from fedscodec.codec.targets import Target, encode_to_target
from fedscodec.errors import FedsError, TargetError, TooLargeError, UnknownModelError
from fedscodec.fileformat import read_header, unpack
from fedscodec.images import from_array
from fedscodec.metrics.ms_ssim import ms_ssim

ROOT = Path(__file__).parent.parent
SAMPLES = np.fromfunction(lambda i, j, c: 200 - 3 * i + j - 20 * c, (24, 70, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tiny():
    return fedscodec.load_model("tiny-q2", device="cpu")


@pytest.fixture
def path(tmp_path):
    Image.fromarray(SAMPLES).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_every_way_to_give_a_picture_gives_the_same_bytes(tiny, path):
    expected = fedscodec.encode(SAMPLES, tiny)
    assert read_header(expected).quality == 2000
    with path.open("rb") as file, Image.open(path) as image:
        whole = path.read_bytes()
        ways = [str(path), path, whole, bytearray(whole), memoryview(whole), BytesIO(whole), file, image]
        ways += [from_array(SAMPLES)]
        for way in ways:
            assert fedscodec.encode(way, tiny) == expected


def test_a_model_by_its_name_and_a_quality(tiny):
    assert fedscodec.encode(SAMPLES, "tiny-q2", device="cpu") == fedscodec.encode(SAMPLES, tiny)
    assert read_header(fedscodec.encode(SAMPLES, tiny, quality=4.5)).quality == 4500


def test_a_target_in_place_of_a_quality(tiny):
    sizes = [len(fedscodec.encode(SAMPLES, tiny, quality=quality)) for quality in (1, 7)]
    middle = sum(sizes) // 2
    data = fedscodec.encode(SAMPLES, tiny, size=middle)
    assert sizes[0] < len(data) <= middle
    picture, pixels = from_array(SAMPLES), 24 * 70
    assert data == encode_to_target(picture, tiny, Target("size", middle)).encoded.data
    assert fedscodec.encode(SAMPLES, tiny, bpp=8 * middle / pixels) == data
    checked = fedscodec.encode(SAMPLES, tiny, size=middle, stream_checks=True)
    assert STREAM_CHECKS in unpack(checked).boxes
    assert len(checked) <= middle
    assert fedscodec.encode(SAMPLES, tiny, size=10 * sizes[1]) == fedscodec.encode(SAMPLES, tiny, quality=7)
    assert fedscodec.encode(SAMPLES, tiny, psnr=1) == fedscodec.encode(SAMPLES, tiny, quality=1)
    with pytest.raises(TargetError, match=rf"^the picture: {sizes[0] - 1:,} bytes cannot be reached: q1, the lowest"):
        fedscodec.encode(SAMPLES, tiny, size=sizes[0] - 1)
    with pytest.raises(TargetError, match=r"^the picture: 90 dB cannot be reached: q7, the highest quality of tiny, "):
        fedscodec.encode(SAMPLES, tiny, psnr=90)


@pytest.mark.parametrize("two", [{"bpp": 1, "size": 100}, {"quality": 3, "psnr": 30}, {"psnr": 30, "ms_ssim": 0.9}])
def test_one_target_at_a_time(two):
    with pytest.raises(
        FedsError,
        match=r"^use only one of quality, bpp, size, psnr, ms_ssim, ssimulacra2 and butteraugli$",
    ):
        fedscodec.encode("none.png", **two)
    with pytest.raises(FedsError, match=r"^ms-ssim: expected a number above 0 and below 1, found 98$"):
        fedscodec.encode("none.png", ms_ssim=98)


def test_an_ms_ssim_in_place_of_a_quality(tiny):
    pixels = np.asarray(Image.open(ROOT / "tests" / "pictures" / "astronaut.png").convert("RGB"))[:176, :176]
    reached = [ms_ssim(pixels, np.asarray(fedscodec.decode(fedscodec.encode(pixels, tiny, quality=q)))) for q in (1, 7)]
    data = fedscodec.encode(pixels, tiny, ms_ssim=sum(reached) / 2)
    found = ms_ssim(pixels, np.asarray(fedscodec.decode(data, model=tiny)))
    assert sum(reached) / 2 <= found < reached[1]
    assert 1000 < read_header(data).quality < 7000


def test_decode_gives_a_pillow_image(tiny, tmp_path):
    data = fedscodec.encode(SAMPLES, tiny)
    image = fedscodec.decode(data)
    assert (image.size, image.mode) == ((70, 24), "RGB")
    (tmp_path / "a.feds").write_bytes(data)
    with (tmp_path / "a.feds").open("rb") as file:
        ways = [tmp_path / "a.feds", str(tmp_path / "a.feds"), file, BytesIO(data), bytearray(data), memoryview(data)]
        for way in ways:
            np.testing.assert_array_equal(np.asarray(fedscodec.decode(way)), np.asarray(image))


def test_decode_takes_a_network_that_is_loaded_already(tiny, monkeypatch):
    data = fedscodec.encode(SAMPLES, tiny)
    expected = np.asarray(fedscodec.decode(data))
    monkeypatch.setattr(loading, "model_by_fingerprint", None)
    np.testing.assert_array_equal(np.asarray(fedscodec.decode(data, model=tiny)), expected)


def test_files_of_other_file_systems_work_as_they_come(tiny):
    fsspec = pytest.importorskip("fsspec", reason="which torch brings, but need not")
    buffer = BytesIO()
    Image.fromarray(SAMPLES).save(buffer, "PNG")
    memory = fsspec.filesystem("memory")
    with memory.open("/a.png", "wb") as file:
        file.write(buffer.getvalue())
    with memory.open("/a.png", "rb") as picture, memory.open("/a.feds", "wb") as file:
        file.write(fedscodec.encode(picture, tiny))
    with memory.open("/a.feds", "rb") as file:
        assert fedscodec.decode(file, model=tiny).size == (70, 24)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(fedscodec.FedsError, match=r"nothing\.feds: cannot be read \(No such file or directory\)$"):
        fedscodec.decode(tmp_path / "nothing.feds")
    with (tmp_path / "a.feds").open("wb") as closed:
        pass
    for given, found in [
        ("a\0b", r"cannot be read \(embedded null byte\)$"),
        (closed, r"a\.feds: cannot be read \("),
        (StringIO("FEDS"), r"expected a file that is open for bytes, found one that gives str$"),
        (np.zeros(3, np.uint8), r"^expected bytes, a path or an open binary file, found ndarray$"),
        (None, r"^expected bytes, a path or an open binary file, found NoneType$"),
    ]:
        with pytest.raises(fedscodec.FedsError, match=found):
            fedscodec.decode(given)


def test_paths_of_every_kind_and_names_of_networks(path, tmp_path):
    class Place(os.PathLike):
        def __init__(self, place):
            self.place = place

        def __fspath__(self):
            return str(self.place)

    data = fedscodec.encode(Place(path), "tiny", device="cpu")
    assert data == fedscodec.encode(path, "tiny", device="cpu")
    (tmp_path / "b.feds").write_bytes(data)
    image = fedscodec.decode(Place(tmp_path / "b.feds"), model="tiny", device="cpu")
    assert image.tobytes() == fedscodec.decode(data).tobytes()


def test_a_damaged_file_has_no_preview_at_best_effort(tiny, path):
    data = fedscodec.encode(path, tiny)
    for how in ({"size": 32}, {"slices": 1}):
        with pytest.raises(fedscodec.FedsError, match="^best_effort cannot be used with size or slices$"):
            fedscodec.decode(data, best_effort=True, **how)


def test_limits_hold_both_ways(tiny, path):
    with pytest.raises(TooLargeError):
        fedscodec.encode(path, tiny, max_pixels=24 * 70 - 1)
    data = fedscodec.encode(path, tiny, max_pixels=24 * 70)
    with pytest.raises(TooLargeError):
        fedscodec.decode(data, max_pixels=24 * 70 - 1)
    for samples in (SAMPLES, from_array(SAMPLES)):
        with pytest.raises(TooLargeError, match=r"^the picture: 70x24 pixels are more than the limit of 1679$"):
            fedscodec.encode(samples, tiny, max_pixels=24 * 70 - 1)
        assert fedscodec.encode(samples, tiny, max_pixels=24 * 70) == data


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"quality": "3"}, "quality: expected a number, found '3'"),
        ({"quality": True}, "quality: expected a number, found True"),
        ({"size": "200k"}, "size: expected a number, found '200k'"),
        ({"ms_ssim": [0.98]}, r"ms-ssim: expected a number, found \[0.98\]"),
        ({"effort": "1"}, "effort: expected a whole number from 0 to 9, found '1'"),
        ({"device": None}, "device must be auto, cpu or cuda, found None"),
    ],
)
def test_arguments_of_a_wrong_type(given, words):
    with pytest.raises(FedsError, match=f"^{words}$"):
        fedscodec.encode(SAMPLES, "tiny", **given)


@pytest.mark.parametrize("given", [{"size": "64"}, {"size": 1.5}, {"size": 0}, {"slices": True}, {"slices": 0}])
def test_previews_of_a_wrong_type(given, tiny):
    data = fedscodec.encode(SAMPLES, tiny)
    [(name, value)] = given.items()
    with pytest.raises(FedsError, match=f"^{name}: expected a whole number of at least 1, found {value!r}$"):
        fedscodec.decode(data, **given)


def test_numbers_of_numpy_are_numbers(tiny):
    expected = fedscodec.encode(SAMPLES, tiny, quality=2.5, effort=1)
    assert fedscodec.encode(SAMPLES, tiny, quality=np.float32(2.5), effort=np.int64(1)) == expected
    assert fedscodec.decode(expected, size=np.int32(32)).size == (32, 11)


def test_errors_are_of_one_family():
    with pytest.raises(fedscodec.FedsError, match="nobody") as caught:
        fedscodec.load_model("nobody")
    assert isinstance(caught.value, UnknownModelError)


@pytest.mark.parametrize(("given", "found"), [(b"tiny", "bytes"), (None, "NoneType"), (3, "int")])
def test_a_model_is_a_name_or_a_path(given, found):
    sentence = f"^model: expected a name or the path of a weights file, found {found}$"
    with pytest.raises(UnknownModelError, match=sentence):
        fedscodec.load_model(given)
    with pytest.raises(UnknownModelError, match=sentence):
        fedscodec.encode(SAMPLES, given)
    weights = Path(__file__).parents[1] / "weights" / "tiny.safetensors"
    assert fedscodec.load_model(weights, "cpu").fingerprint == fedscodec.load_model("tiny", "cpu").fingerprint


def test_public_names_exist_and_are_sorted():
    assert fedscodec.__all__ == sorted(fedscodec.__all__)
    assert all(hasattr(fedscodec, name) for name in fedscodec.__all__)


def test_what_gets_installed_is_this_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["name"] == "fedscodec"
    assert project["project"]["scripts"] == {
        "feds": "fedscodec.__main__:main",
        "feds-thumbnail": "fedscodec.desktop.thumbnail:main",
    }
    assert callable(cli.main)
    source = (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text()
    assert f'__version__ = "{fedscodec.__version__}"\n' in source


def test_the_package_runs_as_a_module():
    run = subprocess.run([sys.executable, "-m", "fedscodec", "--version"], capture_output=True, cwd=ROOT)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"feds {fedscodec.__version__}\n".encode(), b"")


def test_ctrl_c_while_modules_are_imported_says_nothing():
    stop = "import sys, fedscodec.__main__ as it; sys.modules['fedscodec.cli'] = type('', (), {'__getattr__': stop})()"
    code = f"def stop(*_): raise KeyboardInterrupt\n{stop}; it.main()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT)
    assert (run.returncode, run.stdout, run.stderr) == (130, b"", b"")


def test_the_package_carries_its_types():
    assert Path(fedscodec.__file__).with_name("py.typed").is_file()


def test_ci_runs_what_the_readme_says():
    readme, ci = (Path(__file__).parent.parent / name for name in ("README.md", ".ci/run"))
    install, run = "pip install -e '.[train,test]'", "python -m pytest -n auto"
    assert f"{install} && {run}\n" in readme.read_text()
    assert install.removeprefix("pip install ") in ci.read_text()
    assert ci.read_text().rstrip().endswith(run)


class _Endless:
    """A film: its end never comes."""

    name, given = "film", 0

    def read(self, size=-1):
        assert size > 0, "it was read to its end"
        self.given += size
        return bytes(size)


def test_a_stream_of_another_kind_is_not_read_to_its_end():
    for reader in (fedscodec.decode, fedscodec.preview):
        film = _Endless()
        with pytest.raises(FedsError, match="^film: not a .feds file"):
            reader(film)
        assert film.given < 1000


def test_a_reader_that_fails_in_its_own_way():
    class Broken:
        def read(self, size=-1):
            raise RuntimeError("the line is dead")

    with pytest.raises(FedsError, match=r"^the file: cannot be read \(the line is dead\)$"):
        fedscodec.decode(Broken())


def test_arrays_of_other_classes():
    samples = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    with pytest.raises(FedsError, match=r"expected samples without a mask, found a masked array; array\.filled"):
        fedscodec.encode(np.ma.masked_array(samples, samples > 9), "tiny")
    grey = samples[:, :, 0].view(np.recarray)
    assert fedscodec.encode(grey, "tiny", device="cpu") == fedscodec.encode(np.asarray(grey), "tiny", device="cpu")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ({"psnr": 3100}, "psnr: expected a number above 0 and below 1000, found 3100"),
        ({"psnr": 10**400}, "psnr: expected a number, found one of more than 300 digits"),
        ({"quality": 10**400}, "quality: expected a number, found one of more than 300 digits"),
    ],
)
def test_numbers_beyond_all_measure(target, sentence):
    with pytest.raises(FedsError) as told:
        fedscodec.encode(np.zeros((8, 8, 3), np.uint8), "tiny", device="cpu", **target)
    assert str(told.value) == sentence

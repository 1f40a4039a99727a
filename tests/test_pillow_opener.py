"""`register_feds_opener`, and programs that read pictures through Pillow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image

import fedscodec
from fedscodec.boxes import PREVIEW
from fedscodec.codec.model import load_model
from fedscodec.fileformat import unpack
from fedscodec.registry import DEFAULT_QUALITY


@pytest.fixture(autouse=True)
def _defaults_as_before():
    yield
    fedscodec.register_feds_opener()


@pytest.fixture
def photo():
    return Image.fromarray(make_picture(width=96, height=80).pixels)


@pytest.fixture
def saved(photo, tmp_path):
    path = tmp_path / "photo.feds"
    photo.save(path, model="tiny", quality=5)
    return path


def header_of(path):
    return unpack(Path(path).read_bytes()).header


def test_what_save_does_by_default_can_be_set(photo, tmp_path):
    path = tmp_path / "photo.feds"
    fedscodec.register_feds_opener(model="tiny", quality=6.5, preview=True)
    photo.save(path)
    assert header_of(path).quality == 6500
    assert header_of(path).fingerprint == load_model("tiny", "cpu").fingerprint
    assert PREVIEW in unpack(path.read_bytes()).boxes
    photo.save(path, quality=2, preview=False)
    assert (header_of(path).quality, unpack(path.read_bytes()).boxes) == (2000, {})
    photo.save(path, size=1000)  # in place of a quality
    assert path.stat().st_size <= 1000
    fedscodec.register_feds_opener(model="tiny")
    photo.save(path)
    assert header_of(path).quality == 1000 * DEFAULT_QUALITY


def test_it_registers_in_a_process_that_has_no_pillow_yet(saved):
    script = (
        "import sys, fedscodec; assert 'PIL.Image' not in sys.modules; fedscodec.register_feds_opener(quality=5);"
        f"from PIL import Image; print(Image.open({str(saved)!r}).size)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "(96, 80)\n"


def test_imageio_reads_and_writes(saved, photo, tmp_path):
    iio = pytest.importorskip("imageio.v3")
    expected = np.asarray(Image.open(saved))
    assert np.array_equal(iio.imread(saved), expected)
    assert iio.improps(saved).shape == (80, 96, 3)
    iio.imwrite(tmp_path / "again.feds", np.asarray(photo), plugin="pillow", model="tiny", quality=5)
    assert (tmp_path / "again.feds").read_bytes() == saved.read_bytes()


def test_scikit_image_reads(saved):
    io = pytest.importorskip("skimage.io")
    assert np.array_equal(io.imread(saved), np.asarray(Image.open(saved)))

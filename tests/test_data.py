"""Training pictures are found and read in order, and unfit ones are named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedscodec.errors import ImageError
from fedscodec.training.data import Tiles, picture_files


def png(height, width, value=0):
    """The bytes of a grey-level RGB picture of one value."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(path, members):
    """Write a tar of the given names and bytes, with a folder in it."""
    with tarfile.open(path, "w") as tar:
        folder = tarfile.TarInfo("folder.png")  # a folder, whatever its name says
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_folders_are_read_recursively_and_in_order(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "z.png").write_bytes(png(64, 64, 3))
    (tmp_path / "b" / "deep" / "x.PNG").write_bytes(png(64, 65, 2))
    (tmp_path / "a.png").write_bytes(png(66, 64, 1))
    (tmp_path / "notes.txt").write_text("no picture")
    skipped = []
    assert [name for name, _ in picture_files(tmp_path, skipped)] == [
        str(tmp_path / name) for name in ("a.png", "b/deep/x.PNG", "z.png")
    ]
    assert skipped == []
    tiles = Tiles.read([tmp_path], smallest=64)
    assert [tuple(p.shape) for p in tiles.pictures] == [(66, 64, 3), (64, 65, 3), (64, 64, 3)]
    assert [int(p.amax()) for p in tiles.pictures] == [1, 2, 3]
    assert all(p.dtype == torch.uint8 for p in tiles.pictures)
    assert tiles.skipped == []


def test_members_of_tar_shards_are_read(tmp_path):
    shard(tmp_path / "s.tar", {"x/one.png": png(64, 64, 7), "x/label.json": b"{}", "two.jpg": png(64, 64, 8)})
    skipped = []
    assert [name for name, _ in picture_files(tmp_path, skipped)] == [
        f"{tmp_path / 's.tar'}:x/one.png",
        f"{tmp_path / 's.tar'}:two.jpg",
    ]
    assert skipped == []
    assert [int(p[0, 0, 0]) for p in Tiles.read([tmp_path / "s.tar"], smallest=64).pictures] == [7, 8]


def test_rows_and_columns_are_not_swapped(tmp_path):
    pixels = np.arange(64 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 80, 3)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    (picture,) = Tiles.read([tmp_path / "p.png"], smallest=64).pictures
    np.testing.assert_array_equal(picture.numpy(), pixels)


def test_unfit_pictures_are_skipped_by_name(tmp_path):
    (tmp_path / "good.png").write_bytes(png(64, 64))
    (tmp_path / "cut.png").write_bytes(png(64, 64)[:60])
    (tmp_path / "low.png").write_bytes(png(63, 200))
    shard(tmp_path / "s.tar", {"bad.png": b"this is no picture"})
    tiles = Tiles.read([tmp_path], smallest=64)
    assert len(tiles.pictures) == 1
    cut, low, bad = tiles.skipped
    assert cut.startswith(f"{tmp_path / 'cut.png'}: ")
    assert low == f"{tmp_path / 'low.png'}: smaller than 64x64 pixels"
    assert bad.startswith(f"{tmp_path / 's.tar'}:bad.png: ")


def test_a_damaged_shard_is_skipped_by_name(tmp_path):
    (tmp_path / "good.png").write_bytes(png(64, 64))
    (tmp_path / "s.tar").write_bytes(b"this is no shard" * 100)
    tiles = Tiles.read([tmp_path], smallest=64)
    assert len(tiles.pictures) == 1
    (sentence,) = tiles.skipped
    assert sentence.startswith(f"{tmp_path / 's.tar'}: expected a readable file, found: ")


def test_pictures_before_the_damage_of_a_shard_are_kept(tmp_path):
    shard(tmp_path / "s.tar", {"a.png": png(64, 64, 5), "b.png": bytes(5000)})
    data = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(data[: data.index(b"b.png") + 1000])
    (tmp_path / "t.png").write_bytes(png(64, 64, 6))
    skipped = []
    found = [name for name, _ in picture_files(tmp_path, skipped)]
    assert found == [f"{tmp_path / 's.tar'}:a.png", str(tmp_path / "t.png")]
    assert skipped == [f"{tmp_path / 's.tar'}: expected a readable file, found: unexpected end of data"]


def test_a_file_that_cannot_be_read_is_skipped_by_name(tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(png(64, 64))
    read = Path.read_bytes

    def refuse(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    tiles = Tiles.read([tmp_path], smallest=64)
    assert len(tiles.pictures) == 2
    assert tiles.skipped == [f"{tmp_path / 'b.png'}: expected a readable file, found: [Errno 13] Permission denied"]


def test_limit_and_progress(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(64, 64, i))
    seen = []
    tiles = Tiles.read([tmp_path], smallest=64, limit=2, progress=seen.append)
    assert len(tiles.pictures) == 2
    assert seen == [1, 2]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ImageError) as error:
        Tiles.read([tmp_path / "nowhere"], smallest=64)
    assert str(error.value) == f"{tmp_path / 'nowhere'}: no such file or folder of training pictures"


def test_a_folder_without_fit_pictures_is_an_error(tmp_path):
    (tmp_path / "low.png").write_bytes(png(64, 64))
    with pytest.raises(ImageError) as error:
        Tiles.read([tmp_path], smallest=128)
    assert str(error.value) == f"{tmp_path}: no picture of at least 128x128 pixels was found"

"""Training pictures are found and read in order, and unfit ones are named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedscodec.errors import FedsError, ImageError, OutputError
from fedscodec.training.data import Reading, fineness, picture_files
from fedscodec.training.interrupts import ending_tidily
from fedscodec.training.pixels import read_pixels


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


def read(roots, smallest=64, cache=None, progress=None, **more):
    """The pictures of a set, and what was skipped."""
    pixels = read_pixels(roots, Reading(smallest, **more), cache, progress)
    rows, pictures = pixels.rows(), []
    for height, width in pixels.sizes:
        picture, rows = rows[: height * width], rows[height * width :]
        pictures.append(np.array(picture.reshape(height, width, 3)))
    return pictures, list(pixels.skipped)


def test_folders_are_read_recursively_and_in_order(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "z.png").write_bytes(png(64, 64, 3))
    (tmp_path / "b" / "deep" / "x.PNG").write_bytes(png(64, 65, 2))
    (tmp_path / "a.png").write_bytes(png(66, 64, 1))
    (tmp_path / "notes.txt").write_text("no picture")
    skipped = []
    assert [name for name, _ in picture_files([tmp_path], skipped)] == [
        str(tmp_path / name) for name in ("a.png", "b/deep/x.PNG", "z.png")
    ]
    assert skipped == []
    pictures, skipped = read([tmp_path])
    assert [tuple(p.shape) for p in pictures] == [(66, 64, 3), (64, 65, 3), (64, 64, 3)]
    assert [int(p.max()) for p in pictures] == [1, 2, 3]
    assert all(p.dtype == np.uint8 for p in pictures)
    assert skipped == []


def test_members_of_tar_shards_are_read(tmp_path):
    shard(tmp_path / "s.tar", {"x/one.png": png(64, 64, 7), "x/label.json": b"{}", "two.jpg": png(64, 64, 8)})
    skipped = []
    assert [name for name, _ in picture_files([tmp_path], skipped)] == [
        f"{tmp_path / 's.tar'}:x/one.png",
        f"{tmp_path / 's.tar'}:two.jpg",
    ]
    assert skipped == []
    assert [int(p[0, 0, 0]) for p in read([tmp_path / "s.tar"])[0]] == [7, 8]


def test_rows_and_columns_are_not_swapped(tmp_path):
    pixels = np.arange(64 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 80, 3)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    ((picture,), _) = read([tmp_path / "p.png"])
    np.testing.assert_array_equal(picture, pixels)


def test_unfit_pictures_are_skipped_by_name(tmp_path):
    (tmp_path / "good.png").write_bytes(png(64, 64))
    (tmp_path / "cut.png").write_bytes(png(64, 64)[:60])
    (tmp_path / "low.png").write_bytes(png(63, 200))
    shard(tmp_path / "s.tar", {"bad.png": b"this is no picture"})
    pictures, skipped = read([tmp_path])
    assert len(pictures) == 1
    cut, low, bad = skipped
    assert cut.startswith(f"{tmp_path / 'cut.png'}: ")
    assert low == f"{tmp_path / 'low.png'}: smaller than 64x64 pixels"
    assert bad.startswith(f"{tmp_path / 's.tar'}:bad.png: ")


def test_a_damaged_shard_is_skipped_by_name(tmp_path):
    (tmp_path / "good.png").write_bytes(png(64, 64))
    (tmp_path / "s.tar").write_bytes(b"this is no shard" * 100)
    pictures, skipped = read([tmp_path])
    assert len(pictures) == 1
    (sentence,) = skipped
    assert sentence.startswith(f"{tmp_path / 's.tar'}: expected a readable file, found: ")


def test_pictures_before_the_damage_of_a_shard_are_kept(tmp_path):
    shard(tmp_path / "s.tar", {"a.png": png(64, 64, 5), "b.png": bytes(5000)})
    data = (tmp_path / "s.tar").read_bytes()
    (tmp_path / "s.tar").write_bytes(data[: data.index(b"b.png") + 1000])
    (tmp_path / "t.png").write_bytes(png(64, 64, 6))
    skipped = []
    found = [name for name, _ in picture_files([tmp_path], skipped)]
    assert found == [f"{tmp_path / 's.tar'}:a.png", str(tmp_path / "t.png")]
    assert skipped == [f"{tmp_path / 's.tar'}: expected a readable file, found: unexpected end of data"]


@pytest.mark.parametrize(
    ("name", "packed"),
    [("s.tar", gzip.compress), ("s.tgz", gzip.compress), ("s.TAR.BZ2", bz2.compress), ("s.tar.xz", lzma.compress)],
)
def test_a_compressed_shard_is_read_and_named_where_it_is_damaged(tmp_path, name, packed):
    shard(tmp_path / "plain.tar", {"a.png": noise(64, 64), "b.png": noise(300, 300)})
    whole = packed((tmp_path / "plain.tar").read_bytes())
    (tmp_path / "plain.tar").unlink()
    (tmp_path / name).write_bytes(whole)
    assert [len(part) for part in read([tmp_path])] == [2, 0]
    wrong = bytearray(whole)
    wrong[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
    for damaged in (whole[: len(whole) // 2], whole[:20], whole[:-10], bytes(wrong)):
        (tmp_path / name).write_bytes(damaged)
        skipped = []
        assert len(list(picture_files([tmp_path], skipped))) <= 2
        assert all(sentence.startswith(f"{tmp_path / name}: expected a readable file, found: ") for sentence in skipped)
        assert skipped or len(damaged) > len(whole) // 2  # a tar may end before the sum of its bytes is looked at


def test_the_suffix_of_a_shard_may_be_written_in_capitals(tmp_path):
    shard(tmp_path / "S.TAR", {"a.png": png(64, 64, 5)})
    assert [name for name, _ in picture_files([tmp_path], [])] == [f"{tmp_path / 'S.TAR'}:a.png"]


def test_members_that_are_links_are_named(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, kind in (("a.png", tarfile.SYMTYPE), ("b.png", tarfile.LNKTYPE), ("c.png", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "other.png"
            tar.addfile(info)
    skipped = []
    assert list(picture_files([tmp_path], skipped)) == []
    assert skipped == [
        f"{tmp_path / 's.tar'}:a.png: expected a picture, found a link to other.png",
        f"{tmp_path / 's.tar'}:b.png: expected a picture, found a link to other.png",
        f"{tmp_path / 's.tar'}:c.png: expected a picture, found no file",
    ]


def test_a_named_file_that_holds_no_pictures_is_an_error(tmp_path):
    (tmp_path / "b.jsonl").write_text("{}")
    with pytest.raises(ImageError) as error:
        read([tmp_path / "b.jsonl"])
    kinds = ".tar, .tar.gz, .tgz, .tar.bz2, .tar.xz"
    expected = f"{tmp_path / 'b.jsonl'}: expected a folder, a picture or one of {kinds}, found"
    assert str(error.value) == f"{expected} another file"
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"b\.png: expected a folder, .*, found a named pipe$"):
        read([tmp_path / "b.png"])


def test_links_are_followed_once_and_those_to_nothing_are_named(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "a.png").write_bytes(png(64, 64))
    (tmp_path / "set" / "b").mkdir()
    (tmp_path / "set" / "b" / "b.png").write_bytes(png(64, 64))
    (tmp_path / "set" / "circle").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "a first").symlink_to("b")  # a second name of a folder of the set
    (tmp_path / "set" / "link").symlink_to(tmp_path / "away")
    (tmp_path / "set" / "one.png").symlink_to(tmp_path / "away" / "a.png")
    (tmp_path / "set" / "gone").symlink_to("nowhere")
    (tmp_path / "set" / "itself.png").symlink_to("itself.png")
    os.mkfifo(tmp_path / "set" / "pipe.png")
    skipped = []
    found = [name for name, _ in picture_files([tmp_path / "set"], skipped)]
    assert found == [str(tmp_path / "set" / name) for name in ("b/b.png", "link/a.png", "one.png")]
    assert skipped == [
        f"{tmp_path / 'set' / name}: expected a readable file, found: {kind}"
        for name, kind in (("gone", "a dangling link"), ("itself.png", "a dangling link"), ("pipe.png", "a named pipe"))
    ]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.png").write_bytes(png(64, 64))
    plain = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "scandir", refuse)
    pictures, skipped = read([tmp_path], cache=tmp_path.parent / "cache of a closed folder")
    assert len(pictures) == 1
    assert skipped == [f"{tmp_path / 'closed'}: expected a readable folder, found: Permission denied"]
    monkeypatch.undo()
    (tmp_path / "closed").rmdir()
    assert read([tmp_path], cache=tmp_path.parent / "cache of a closed folder")[1] == []  # not what was cached


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    resource = pytest.importorskip("resource")
    (tmp_path / "a.png").write_bytes(noise(64, 64))
    cache, (soft, hard) = tmp_path / "cache", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OutputError) as failure:
            read([tmp_path / "a.png"], cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    name, _, found = str(failure.value).partition(": ")
    assert (Path(name).parent, Path(name).suffix, found) == (cache, ".pixels", "File too large")
    assert list(cache.iterdir()) == []
    with pytest.raises(OutputError) as failure:
        read([tmp_path / "a.png"], cache=tmp_path / "a.png")
    assert str(failure.value) == f"{tmp_path / 'a.png'}: File exists"


ENDS = """
import os, signal, sys
from pathlib import Path
from fedscodec.training.data import Reading
from fedscodec.training.interrupts import ending_tidily
from fedscodec.training.pixels import read_pixels
number = signal.Signals[sys.argv[2]]
signal.signal(number, signal.SIG_DFL)  # under nohup, where tests may run, SIGHUP is ignored
with ending_tidily():
    read_pixels([Path(sys.argv[1])], Reading(64), None, lambda count: os.kill(os.getpid(), number))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_the_reading_leaves_nothing(tmp_path, name):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(png(64, 64))
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-c", ENDS, str(tmp_path / "set"), name]
    ended = subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path / "temporary")}, capture_output=True)
    assert (ended.returncode, ended.stderr) == (128 + signal.Signals[name], b"")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_signals_are_as_before_behind_a_run():
    numbers = [signal.SIGTERM, signal.SIGHUP]
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(KeyError), ending_tidily():
        raise KeyError
    assert [signal.getsignal(number) for number in numbers] == before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_tidily():  # what is ignored, as nohup does, stays so
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before[1])


def test_a_file_that_cannot_be_read_is_skipped_by_name(tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(png(64, 64))
    plain = Path.read_bytes

    def refuse(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    pictures, skipped = read([tmp_path])
    assert len(pictures) == 2
    assert skipped == [f"{tmp_path / 'b.png'}: expected a readable file, found: [Errno 13] Permission denied"]


def test_progress_counts_pictures(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(64, 64, i))
    seen = []
    pictures, skipped = read([tmp_path], progress=seen.append)
    assert len(pictures) == 4
    assert seen == [1, 2, 3, 4]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(ImageError) as error:
        read([tmp_path / "nowhere"])
    assert str(error.value) == f"{tmp_path / 'nowhere'}: no such file or folder of training pictures"


def test_a_folder_without_fit_pictures_is_an_error(tmp_path):
    (tmp_path / "low.png").write_bytes(png(64, 64))
    with pytest.raises(ImageError) as error:
        read([tmp_path], 128)
    none = f"{tmp_path}: no picture of at least 128x128 pixels was found"
    low = f"{tmp_path / 'low.png'}: smaller than 128x128 pixels"
    assert str(error.value) == f"{none} ({low})"
    (tmp_path / "z.tar").write_bytes(b"this is no shard" * 100)
    with pytest.raises(ImageError) as error:
        read([tmp_path], 128)
    assert low in str(error.value) or "z.tar: expected a readable file" in str(error.value)
    assert str(error.value).endswith(", and 1 more)")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError) as error:
        read([tmp_path / "empty"])
    assert str(error.value) == f"{tmp_path / 'empty'}: no picture of at least 64x64 pixels was found"


def noise(height, width, seed=0):
    """The bytes of a picture that is all fine detail."""
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_cache_is_read_in_place_of_the_pictures(tmp_path, monkeypatch):
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    folder.mkdir()
    (folder / "a.png").write_bytes(noise(64, 70))
    (folder / "b.png").write_bytes(b"no picture")
    first = read([folder], cache=cache)
    monkeypatch.setattr("fedscodec.training.pixels.decoded", None)  # nothing is decoded again
    again = read([folder], cache=cache)
    np.testing.assert_array_equal(first[0][0], again[0][0])
    assert first[1] == again[1]
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".pixels"]


def test_a_cache_of_other_pictures_is_not_used(tmp_path):
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    folder.mkdir()
    (folder / "a.png").write_bytes(noise(64, 70))
    digests = [read_pixels([folder], Reading(64), cache).digest, read_pixels([folder], Reading(64), cache).digest]
    (folder / "b.png").write_bytes(noise(70, 70, 1))
    digests.append(read_pixels([folder], Reading(64), cache).digest)
    digests.append(read_pixels([folder], Reading(70), cache).digest)  # without the smaller one
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_truncated_cache_is_reported(tmp_path):
    (tmp_path / "a.png").write_bytes(noise(64, 70))
    pixels = read_pixels([tmp_path], Reading(64), tmp_path / "cache")
    pixels.path.write_bytes(b"cut")
    with pytest.raises(FedsError, match="expected a cache of training pictures, found another number of pixels than"):
        read_pixels([tmp_path], Reading(64), tmp_path / "cache")


def test_soft_pictures_are_left_out_and_sharp_ones_come_at_half_their_size_too(tmp_path):
    (tmp_path / "sharp.png").write_bytes(noise(128, 140))
    (tmp_path / "soft.png").write_bytes(png(128, 128, 90))
    pictures, skipped = read([tmp_path], sharpness=4.0, halves=8.0)
    assert [p.shape for p in pictures] == [(128, 140, 3), (64, 70, 3)]
    assert skipped == [f"{tmp_path / 'soft.png'}: softer than 4 (found 0.0)"]
    assert abs(pictures[1].mean() - pictures[0].mean()) < 1


def test_fineness_is_the_mean_absolute_laplacian():
    grey = np.zeros((5, 5), np.uint8)
    grey[2, 2] = 9
    assert fineness(grey[..., None].repeat(3, 2)) == pytest.approx((4 * 9 + 4 * 9) / 9)  # itself, and four beside it


def test_memory_that_runs_out_stops_the_reading(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(64, 64))

    def hungry(source, *, name):
        try:
            raise MemoryError
        except MemoryError as failure:
            raise ImageError(f"{name}: expected a valid picture, found: MemoryError") from failure

    monkeypatch.setattr("fedscodec.training.data.read_picture", hungry)
    with pytest.raises(FedsError, match=r"^not enough memory to read the training pictures \(at number 1\)$"):
        read([tmp_path])

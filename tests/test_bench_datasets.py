"""Datasets are found, downloaded from a server of our own, checked, and missed in clear words."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from fedscodec.bench import datasets, download
from fedscodec.bench.datasets import SOURCES, Source, dataset, drawn, gathered, obtain, pictures_in, row_name
from fedscodec.errors import FedsError, ImageError
from fedscodec.images import read_picture

NAMES = ("one.png", "two.png")


@pytest.fixture
def served(tmp_path, picture):
    """A web server's folder with two pictures, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        Image.fromarray(picture(width=40, height=30, seed=seed).pixels).save(folder / name)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_):
            """Nothing: a test's output is its own."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the user, and no $FEDS_DATA."""
    monkeypatch.delenv("FEDS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "feds"


def sums_of(folder):
    return {
        name: {
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            "pixels_sha256": hashlib.sha256(read_picture(folder / name).pixels.tobytes()).hexdigest(),
        }
        for name in NAMES
    }


def source(url, sums=None, **more):
    made = Source("pair", "a pair", url, 2, **{"names": NAMES, **more})
    if sums:
        made.__dict__["sums"] = sums  # where the property keeps what it read
    return made


# ── Pictures of one's own ─────────────────────────────────────────────────────────────────────────────────


def test_pictures_of_folders_are_taken_in_order_and_each_once(served):
    folder, _ = served
    (folder / "notes.txt").write_text("no picture")
    assert pictures_in([folder]) == [folder / "one.png", folder / "two.png"]
    assert pictures_in([folder / "two.png", folder]) == [folder / "two.png", folder / "one.png"]


def test_no_picture_at_all_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ImageError) as caught:
        pictures_in([tmp_path])
    assert str(caught.value) == f"{tmp_path}: expected pictures that Pillow reads, found none"
    with pytest.raises(ImageError) as caught:
        pictures_in([tmp_path, tmp_path / "nowhere"])
    assert str(caught.value) == f"{tmp_path / 'nowhere'}: no such picture or folder"


def test_a_named_file_is_read_or_said_to_be_left_out(served, tmp_path):
    folder, _ = served
    (tmp_path / "nosuffix").write_bytes((folder / "one.png").read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    found = gathered([tmp_path / "nosuffix", tmp_path / "notes.txt"]).readable()
    assert found.paths == [tmp_path / "nosuffix"]
    assert list(found.left_out) == ["notes.txt"]


def test_ones_own_folder_with_the_name_of_a_dataset_is_not_that_dataset(served, tmp_path):
    folder, _ = served
    (tmp_path / "kodak").mkdir()
    (tmp_path / "kodak" / "one.png").write_bytes((folder / "one.png").read_bytes())
    assert gathered([tmp_path / "kodak"]).name == "kodak (your own)"


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes there only")
def test_a_name_that_is_not_utf8_is_escaped(served, tmp_path):
    folder, _ = served
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xffbad.png"))
    try:
        path.write_bytes((folder / "one.png").read_bytes())
    except OSError:
        pytest.skip("the file system takes no such name")
    assert row_name(path) == "\\xffbad.png"
    assert gathered([path]).readable().paths == [path]


def test_two_pictures_of_one_name_are_an_error(served, tmp_path):
    folder, _ = served
    (tmp_path / "one.png").write_bytes((folder / "one.png").read_bytes())
    with pytest.raises(ImageError) as caught:
        pictures_in([folder, tmp_path / "one.png"])
    expected = f"{tmp_path / 'one.png'}: expected pictures with different names, found {folder / 'one.png'} too"
    assert str(caught.value) == expected


def test_pictures_are_called_by_the_first_place(served):
    folder, _ = served
    assert datasets.gathered([folder]).name == "served"
    assert datasets.gathered([folder / "one.png", folder / "two.png"]).name == "one.png and more"


# ── Datasets ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_dataset_names_those_there_are():
    with pytest.raises(
        FedsError, match="^lena: no such dataset or folder; there are kodak, tecnick, clic2020, clic2021, graphics$"
    ):
        dataset("lena")


def test_a_dataset_is_downloaded_once_and_checked(served, cache):
    folder, url = served
    told = []
    found = obtain(source(url, sums_of(folder)), lambda *what: told.append(what))
    assert found.paths == [cache / "pair" / name for name in NAMES]
    assert [path.read_bytes() for path in found.paths] == [(folder / name).read_bytes() for name in NAMES]
    sizes = [(folder / name).stat().st_size for name in NAMES]
    assert told[0] == ("one.png", 0, sizes[0])
    assert told[-1] == ("two.png", sizes[1], sizes[1])
    (folder / "one.png").unlink()  # nobody asks the server again
    assert obtain(source(url, sums_of(cache / "pair"))).paths == found.paths
    assert sorted(path.name for path in (cache / "pair").iterdir()) == sorted(NAMES)


def test_what_has_other_pixels_is_not_kept(served, cache, picture):
    folder, url = served
    sums = sums_of(folder)
    Image.fromarray(picture(width=40, height=30, seed=9).pixels).save(folder / "two.png")
    with pytest.raises(FedsError, match=r"two\.png: is not the picture with that name in a pair"):
        obtain(source(url, sums))
    assert [path.name for path in (cache / "pair").iterdir()] == ["one.png"]


def test_another_file_with_the_same_pixels_is_the_picture(served, cache):
    folder, url = served
    sums = sums_of(folder)
    before = (folder / "one.png").read_bytes()
    Image.open(folder / "one.png").save(folder / "one.png", compress_level=0)
    assert (folder / "one.png").read_bytes() != before
    assert len(obtain(source(url, sums)).paths) == 2


def test_ones_own_folder_comes_first_and_is_checked(served, cache, tmp_path, monkeypatch):
    folder, url = served
    mine = tmp_path / "data" / "pair"
    mine.mkdir(parents=True)
    monkeypatch.setenv("FEDS_DATA", os.pathsep.join([str(tmp_path / "none"), str(tmp_path / "data")]))
    (mine / "one.png").write_bytes((folder / "one.png").read_bytes())
    with pytest.raises(FedsError) as caught:
        obtain(source(url))
    assert str(caught.value) == f"{mine}: expected a pair, but these are missing: two.png"
    (mine / "two.png").write_bytes((folder / "two.png").read_bytes())
    found = obtain(source(url, size=(40, 30)))
    assert (found.paths, found.checked) == (
        [mine / "one.png", mine / "two.png"],
        "names, and 40x30 pixels each; no sums are known",
    )
    with pytest.raises(FedsError, match=r"one\.png: expected 41x30 pixels, found 40x30"):
        obtain(source(url, size=(41, 30)))
    assert not cache.exists()


def test_an_archive_gives_the_pictures_below_its_folder_and_nothing_else(served, cache):
    folder, url = served
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / name, f"set/RGB/{name}")
        archive.write(folder / "one.png", "set/GREY/three.png")
        archive.writestr("set/RGB/../../../evil.png", (folder / "one.png").read_bytes())
        archive.writestr("set/RGB/._one.png", "of another system")
        archive.writestr("set/RGB/readme.txt", "words")
    found = obtain(Source("pair", "a pair", url + "all.zip", 3, inside="RGB/"))
    assert [path.name for path in found.paths] == ["evil.png", "one.png", "two.png"]
    assert {path.parent for path in found.paths} == {cache / "pair"}
    assert found.checked == "the number of pictures, 3; no sums are known"
    with pytest.raises(FedsError, match="expected a pair, but these are missing: 3 pictures in place of 2"):
        obtain(Source("pair", "a pair", url + "all.zip", 2, inside="RGB/"))


def test_an_invalid_archive_is_reported(served, cache):
    _, url = served
    with pytest.raises(FedsError, match="is not a valid zip archive"):
        obtain(Source("pair", "a pair", url + "one.png", 2))


def test_without_a_network_it_is_said_what_to_put_where(served, cache):
    _, url = served
    closed = source("http://127.0.0.1:9/")
    with pytest.raises(FedsError) as caught:
        obtain(closed)
    assert str(caught.value) == (
        "pair: could not be downloaded from http://127.0.0.1:9/ ([Errno 111] Connection refused); without a network, "
        f"put its pictures (one.png, two.png) into {cache / 'pair'}, or into a folder pair and set FEDS_DATA to where "
        "that is"
    )
    with pytest.raises(FedsError, match=r"could not be downloaded from .* \(File not found\)"):
        obtain(source(url, names=("none.png",)))


@pytest.mark.parametrize("make", [lambda: obtain(source("http://127.0.0.1:9/")), drawn])
def test_a_cache_that_cannot_be_made_is_no_failed_download(make, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    expected = r"file/feds/\w+: the folder for pictures could not be made \(Not a directory\)"
    with pytest.raises(FedsError, match=expected):
        make()


def test_a_download_that_ends_early_leaves_nothing(served, tmp_path, monkeypatch):
    folder, url = served
    size = (folder / "one.png").stat().st_size

    class Cut:
        headers = {"Content-Length": str(size)}
        parts = [b"x" * 10, b""]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self, _):
            return self.parts.pop(0)

    monkeypatch.setattr(download, "urlopen", lambda *_, **__: Cut())
    with pytest.raises(ConnectionError, match=rf"one\.png: got 10 of {size} bytes"):
        download.fetch_file(url + "one.png", tmp_path / "one.png")
    assert list(tmp_path.glob("*.png")) == list(tmp_path.glob(".feds-*")) == []


def test_the_table_of_datasets():
    assert {name: len(s.names) or s.pictures for name, s in SOURCES.items()} == {
        "kodak": 24,
        "tecnick": 100,
        "clic2020": 41,
        "clic2021": 60,
    }
    assert all(s.url.startswith("https://") for s in SOURCES.values())
    kodak = SOURCES["kodak"]
    assert set(kodak.sums) == set(kodak.names)
    assert kodak.sums["kodim01.png"]["sha256"].startswith("a56e27cbf5f843c0")
    assert all(len(sums[key]) == 64 for sums in kodak.sums.values() for key in ("sha256", "pixels_sha256"))


def test_kodak_is_what_its_sums_say():
    places = [Path(p) / "kodak" for p in os.environ.get("FEDS_DATA", "").split(os.pathsep) if p]
    if not any(place.is_dir() for place in places):
        pytest.skip("needs the Kodak pictures: set FEDS_DATA to the folder that has kodak/")
    found = dataset("kodak")
    assert len(found.paths) == 24
    sums = json.loads((Path(datasets.__file__).parent / "kodak.json").read_text())
    pixels = read_picture(found.paths[3]).pixels
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == sums["kodim04.png"]["pixels_sha256"]

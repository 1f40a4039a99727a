"""Download files completely or not at all, and check them before they are put in place."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol
from urllib.request import Request, urlopen

from ..files.outputs import replacing
from ..version import __version__

SECONDS = 30  # without a byte, after which a server is given up
_CHUNK = 1 << 18


class Progress(Protocol):
    """Called during a download: its name, bytes so far, and the total if the server says it."""

    def __call__(self, name: str, done: int, total: int | None) -> None:
        """Show the progress."""


def silent(name: str, done: int, total: int | None) -> None:
    """Show nothing."""


def fetch_file(url: str, path: Path, progress: Progress = silent, check: Callable[[Path], None] | None = None) -> None:
    """Download a file to `path`; `check` sees it first, under another name, and rejects it by raising.

    Raises OSError (URLError is one) if the download fails.
    """
    with replacing(path) as part:
        with part.open("wb") as stream:
            _pour(url, stream, progress)
        if check:
            check(part)


def fetch_archive(url: str, folder: Path, inside: str, suffixes: Collection[str], progress: Progress = silent) -> None:
    """Download a zip and put its files with these suffixes below a path with `inside` into `folder`.

    Folders of the archive are not kept, so that no name in it leads out of `folder`. Raises OSError as `fetch_file`
    does.
    """
    with tempfile.TemporaryFile(dir=folder) as archive:
        _pour(url, archive, progress)
        with _as_os_error(url), zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                name = Path(entry.filename).name
                if Path(name).suffix.lower() in suffixes and inside in entry.filename and not name.startswith("."):
                    fetch_entry(opened, entry, folder / name)


def fetch_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Unpack one file of an archive to `path`, completely or not at all."""
    with replacing(path) as part, archive.open(entry) as source, part.open("wb") as stream:
        shutil.copyfileobj(source, stream, _CHUNK)


def _pour(url: str, stream: IO[bytes], progress: Progress) -> None:
    request = Request(url, headers={"User-Agent": f"feds/{__version__}"})
    with urlopen(request, timeout=SECONDS) as answer:
        length = answer.headers.get("Content-Length")
        name, done, total = url.rsplit("/", 1)[-1], 0, int(length) if length else None
        progress(name, done, total)
        while chunk := answer.read(_CHUNK):
            stream.write(chunk)
            done += len(chunk)
            progress(name, done, total)
    if total is not None and done != total:
        raise ConnectionError(f"{name}: got {done} of {total} bytes")


@contextmanager
def _as_os_error(url: str) -> Iterator[None]:
    try:
        yield
    except zipfile.BadZipFile as error:
        raise ConnectionError(f"{url} is not a valid zip archive: {error}") from error

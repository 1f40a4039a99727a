"""Putting results where they were asked for: whole or not at all, and over nothing that should stay.

A file is written beside its final place, brought to the disk and renamed, so that whoever looks sees the old
file or the whole new one. The path "-" is standard output, which takes no bytes while it is a terminal or closed.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError
from .inputs import is_stream
from .names import STANDARD, name_of, shown
from .standard import require_output

_SENTENCES = {
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "no permission to write there, the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "its folder is a file",
    errno.EISDIR: "is a folder, expected a file",
    errno.EBADF: "is closed, expected a file or a pipe to write to",
}


@dataclass(frozen=True)
class Place:
    """What -o names: a file, standard output (-), or a folder, as `cp` has it: what is one, or ends in a slash."""

    path: Path
    ends_in_slash: bool = False

    @staticmethod
    def named(text: str) -> Place:
        """The place of a command line's words."""
        return Place(Path(text), text.endswith(("/", os.sep)))

    @property
    def is_folder(self) -> bool:
        """Whether results go into it, each under a name of its own."""
        return self.ends_in_slash or (self.path != STANDARD and self.path.is_dir())

    def of(self, name: str) -> Path:
        """Where a result goes that would be called `name` in a folder."""
        return self.path / name if self.is_folder else self.path

    def make(self) -> None:
        """Make the folder, if it is meant as one and is not there; OutputError where that is impossible."""
        if self.ends_in_slash:
            with _errors_as_sentences(self.path):
                self.path.mkdir(parents=True, exist_ok=True)


def output_path(source: Path, output: Place | None, suffix: str) -> Path:
    """Where the result of `source` goes: to `output` if given, to standard output from a stream, else beside it."""
    name = f"{source.stem}{suffix}"
    if output is None:
        return STANDARD if is_stream(source) else source.parent / name
    if output.is_folder and is_stream(source):
        raise OutputError(f"{name_of(output.path)}: is a folder, expected a file for what comes from {name_of(source)}")
    return output.of(name)


def writable_path(source: Path, output: Place | None, suffix: str, *, force: bool = False) -> Path:
    """The `output_path`, once it is known that it can be written (see `require_writable`)."""
    target = output_path(source, output, suffix)
    made = output is not None and output.ends_in_slash
    require_writable(target, force=force, source=source, folder_is_made=made)
    return target


def require_writable(
    path: Path, *, force: bool = False, source: Path | None = None, folder_is_made: bool = False
) -> None:
    """Find out before the work whether its result could be written; raises OutputError if not.

    Refused are folders, existing files unless `force` is set, the `source` the work starts from even then,
    places without a folder (unless `folder_is_made`) or permission, and standard output while it is a terminal
    or closed.
    """
    if path == STANDARD:
        require_output()
        return _refuse_terminal(sys.stdout.isatty(), "standard output")
    with _errors_as_sentences(path):
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"{name_of(path)}: is the input, expected another name for the output")
        if path.is_file() and not force:
            raise OutputError(f"{name_of(path)}: already exists, use --force to overwrite it")
        if fault := _fault_of_place(path, folder_is_made):
            raise OSError(fault, "")
    return None


def require_folder(folder: Path) -> None:
    """OutputError, before the work, where no file could be put into a folder that is there or would be made."""
    with _errors_as_sentences(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{name_of(folder)}: is a file, expected a folder")
        if fault := _fault_of_place(folder / "x", folder_is_made=True):
            raise OSError(fault, "")
        _try_to_write(next(place for place in (folder, *folder.absolute().parents) if place.exists()))


def _try_to_write(folder: Path) -> None:
    """OSError where the system lets no file be made in a folder, for whatever reason; nothing is left of it."""
    with suppress(AttributeError):  # a system without files that have no name
        try:
            return os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
    part = _part_beside(folder / "x")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return part.unlink()


def _part_beside(path: Path) -> Path:
    return path.with_name(f".feds-{os.urandom(8).hex()}.part")  # not from its name, which may be at the limit


def _fault_of_place(path: Path, folder_is_made: bool = False) -> int | None:
    folder = Path(os.path.realpath(path)).parent
    if path.is_dir():
        return errno.EISDIR
    while folder_is_made and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return errno.ENOTDIR if folder.exists() else errno.ENOENT
    if (path.is_file() or not path.exists()) and not os.access(folder, os.W_OK | os.X_OK):
        return errno.EACCES
    return None


def write_output(path: Path, data: bytes, *, force: bool = False, place: Place | None = None) -> None:
    """Write `data` to a file (see `write_file`) or, for "-", to standard output; the folder of `place` is made."""
    if place is not None:
        place.make()
    if path == STANDARD:
        require_output()
        with _errors_as_sentences("standard output"):
            _pour(sys.stdout.buffer, data, "standard output")
    else:
        write_file(path, data, force=force)


def write_file(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a whole file or none; one that was there stays as it was until the new one is on the disk.

    A link is followed, the permissions of an overwritten file are kept, and what is no plain file (a device,
    a named pipe) gets the bytes as they are. Raises OutputError as `require_writable` does, for a full disk
    and for whatever else the system refuses.
    """
    require_writable(path, force=force)
    with _errors_as_sentences(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                _pour(stream, data, name_of(path))
        else:
            with _part_of(path) as part:
                _write_new(part, data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a new file, for the block to write, which then takes the place of `path`, once it is on the disk.

    For what is written piece by piece, or by a library. A link is followed and the permissions of an overwritten file
    are kept. An error in the block leaves the old file and nothing new.
    """
    with _part_of(path) as part:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """The name of a new file, for the block to bring to the disk, which then takes the place of `path`."""
    path = Path(os.path.realpath(path))
    part = _part_beside(path)
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    except BaseException:  # Ctrl-C too leaves nothing behind
        part.unlink(missing_ok=True)
        raise


def _write_new(path: Path, data: bytes) -> None:
    """Bring `data` to the disk under a new name; where the system can, it has none before it is whole."""
    if not _written_before_named(path, data):
        with path.open("xb") as stream:
            _to_disk(stream, data)


def _written_before_named(path: Path, data: bytes) -> bool:
    """Write a file that has no name, which is gone if the process is killed, and then give it its name.

    False where the system or the file system has no such files; then nothing is left of the attempt.
    """
    try:
        handle = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except (OSError, AttributeError):  # whatever else is wrong shows when a name is opened
        return False
    with os.fdopen(handle, "wb") as stream:
        _to_disk(stream, data)
        try:
            folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
            try:  # with a folder by its handle, for only so the link of /proc is followed
                os.link(f"/proc/self/fd/{handle}", path.name, dst_dir_fd=folder, follow_symlinks=True)
            finally:
                os.close(folder)
        except OSError:
            return False
    return True


def _to_disk(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())


def _pour(stream: BinaryIO, data: bytes, name: str) -> None:
    _refuse_terminal(stream.isatty(), name)
    stream.write(data)
    stream.flush()


def _refuse_terminal(is_terminal: bool, name: str) -> None:
    if is_terminal:
        raise OutputError(f"{name}: is a terminal, expected a file or a pipe for binary data")


@contextmanager
def _errors_as_sentences(name: Path | str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader has seen enough, which is no fault of the place
        raise
    except OSError as error:
        found = _SENTENCES.get(error.errno or 0, error.strerror or str(error))
        raise OutputError(f"{shown(name)}: {found}") from error

"""Write results completely or not at all, and never over a file that should stay.

A file is written beside its final place, flushed to the disk and renamed, so that readers see either the old file or
the complete new one. The path "-" is standard output, which is refused if it is a terminal or closed.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
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
_HELD = 32
"""What Windows calls it (`winerror`) if another program has a file open; 5 is no permission, but also that."""
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait for it: those that look at every new file (indexers, virus scanners) are done soon."""


@dataclass(frozen=True)
class Place:
    """The argument of -o: a file, standard output (-), or a folder. As with `cp`, a folder exists already or ends in a
    slash.
    """

    path: Path
    ends_in_slash: bool = False

    @staticmethod
    def named(text: str) -> Place:
        """The place for an argument of the command line."""
        return Place(Path(text), text.endswith(("/", os.sep)))

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder for results."""
        return self.ends_in_slash or (self.path != STANDARD and self.path.is_dir())

    def of(self, name: str) -> Path:
        """The path of a result called `name`."""
        return self.path / name if self.is_folder else self.path

    def make(self) -> None:
        """Create the folder if this is one and it does not exist. Raises OutputError if that is impossible."""
        if self.ends_in_slash:
            with errors_as_sentences(self.path):
                self.path.mkdir(parents=True, exist_ok=True)


def result_name(source: Path, suffix: str, *, keep: bool = False) -> str:
    """The name of the result of `source`: with another suffix, or (keep) with one more."""
    return f"{source.name if keep else source.stem}{suffix}"


def output_path(source: Path, output: Place | None, suffix: str, *, keep: bool = False) -> Path:
    """Where the result of `source` goes: to `output` if given, to standard output from a stream, else beside the
    source. keep: as in `result_name`.
    """
    name = result_name(source, suffix, keep=keep)
    if output is None:
        return STANDARD if is_stream(source) else source.parent / name
    if output.is_folder and is_stream(source):
        raise OutputError(f"{name_of(output.path)}: is a folder, expected a file for what comes from {name_of(source)}")
    return output.of(name)


def writable_path(source: Path, output: Place | None, suffix: str, *, force: bool = False, keep: bool = False) -> Path:
    """The `output_path`, after checking that it can be written (see `require_writable`)."""
    target = output_path(source, output, suffix, keep=keep)
    made = output is not None and output.ends_in_slash
    require_writable(target, force=force, source=source, folder_is_made=made)
    return target


def require_writable(
    path: Path, *, force: bool = False, source: Path | None = None, folder_is_made: bool = False
) -> None:
    """Check before the work that its result can be written. Raises OutputError if not.

    Refuses folders, existing files unless `force` is set, the `source` itself in any case, places without a folder
    (unless `folder_is_made`) or permission, and standard output if it is a terminal or closed.
    """
    if path == STANDARD:
        require_output()
        return _refuse_terminal(sys.stdout.isatty(), "standard output")
    with errors_as_sentences(path):
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise OutputError(f"{name_of(path)}: is the input, expected another name for the output")
        if path.is_file() and not force:
            raise OutputError(f"{name_of(path)}: already exists, use --force to overwrite it")
        if fault := _fault_of_place(path, folder_is_made):
            raise OSError(fault, "")
    return None


def require_folder(folder: Path) -> None:
    """Check before the work that files can be written into a folder, existing or not. Raises OutputError if not."""
    with errors_as_sentences(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{name_of(folder)}: is a file, expected a folder")
        if fault := _fault_of_place(_part_beside(folder / "x"), folder_is_made=True):
            raise OSError(fault, "")
        _try_to_write(next(place for place in (folder, *folder.absolute().parents) if place.exists()))


def _try_to_write(folder: Path) -> None:
    """Create and remove a file in a folder. Raises OSError if the system does not allow it."""
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
    """Write `data` to a file (see `write_file`) or, for "-", to standard output; create the folder of `place`."""
    if place is not None:
        place.make()
    if path == STANDARD:
        require_output()
        with errors_as_sentences("standard output"):
            _pour(sys.stdout.buffer, data, "standard output")
    else:
        write_file(path, data, force=force)


def write_file(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a complete file or none; an existing file stays until the new one is on the disk.

    Follows links, keeps the permissions of an overwritten file, and writes straight to what is not a plain file (a
    device, a named pipe). Raises OutputError as `require_writable` does, for a full disk, and for whatever else the
    system refuses.
    """
    require_writable(path, force=force)
    with errors_as_sentences(path):
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                _pour(stream, data, name_of(path))
        else:
            with _part_of(path) as part:
                _write_new(part, data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a new file for the block to write; the file then replaces `path` once it is on the disk.

    For files that are written piece by piece, or by a library. Follows links and keeps the permissions of an
    overwritten file. An error in the block leaves the old file and nothing new. Errors stay as they are, because the
    block may read too; see `errors_as_sentences`.
    """
    with _part_of(path) as part:
        part.touch(exist_ok=False)
        mode = part.stat().st_mode & 0o777  # that of new files, which some libraries do not keep
        yield part
        part.chmod(mode)
        with part.open("r+b") as stream:  # Windows flushes only what is open for writing
            os.fsync(stream.fileno())


@contextmanager
def _part_of(path: Path) -> Iterator[Path]:
    """Yield the name of a new file for the block to flush to the disk; the file then replaces `path`."""
    path = Path(os.path.realpath(path))
    part = _part_beside(path)
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        _rename(part, path)
    except BaseException:  # Ctrl-C too leaves nothing behind
        with suppress(OSError):
            part.chmod(0o600)  # Windows removes nothing that may only be read
        with suppress(OSError):
            part.unlink()
        raise


def _rename(part: Path, path: Path) -> None:
    """Put a file in the place of another; on Windows wait a moment if another program has that open."""
    for wait in (*_WAITS, None):
        try:
            os.replace(part, path)
        except PermissionError as error:
            if wait is None or getattr(error, "winerror", None) not in (5, _HELD):
                raise
            time.sleep(wait)
        else:
            return


def _write_new(path: Path, data: bytes) -> None:
    """Write `data` to the disk under a new name; if the system can, the file has no name until it is complete."""
    if not _written_before_named(path, data):
        with path.open("xb") as stream:
            _to_disk(stream, data)


def _written_before_named(path: Path, data: bytes) -> bool:
    """Write a file without a name, which vanishes if the process is killed, and then give it its name.

    Returns False if the system or the file system has no such files; then nothing is left of the attempt.
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
def errors_as_sentences(name: Path | str) -> Iterator[None]:
    """Turn what the system refuses while `name` is written into an OutputError. For blocks that only write."""
    try:
        yield
    except BrokenPipeError:  # the reader has seen enough, which is no fault of the place
        raise
    except OSError as error:
        found = _SENTENCES.get(error.errno or 0, error.strerror or str(error))
        if getattr(error, "winerror", None) == _HELD:
            found = "another program has it open"
        raise OutputError(f"{shown(name)}: {found}") from error

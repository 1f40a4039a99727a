"""Encode a batch of pictures: which .feds files are up to date, and the stages of one picture."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from .. import registry
from ..codec.beside import is_as_asked
from ..codec.effort import levels as effort
from ..codec.settings import Encoding
from ..codec.targets import Target, close
from ..errors import FedsError, FormatError, OutputError
from ..fileformat import HEADER_BYTES_AT_MOST, MAGIC, Header, read_header, unpack
from ..files.inputs import odd_kind
from ..files.names import shown
from ..images import Beside, Picture, expected_pixels, read_beside, read_picture, stripped
from .done import ENCODED, Facts, Worked
from .pipeline import BYTES_PER_PIXEL
from .plan import Task
from .resemblance import may_have_been_replaced, note_that_it_is_of_now, resembles

if TYPE_CHECKING:
    from ..codec.model import Model
    from ..codec.single import Made


class Encoder:
    """The stages of encoding one picture of a batch. `open` loads the network once, for all threads.

    A .feds file is up to date if it is complete, of the same network and quality, of as many pixels as its source and
    not older, with the profile, Exif, XMP and checks that this run would write. With a target size it must be within
    the limit and where a search would leave it. If the source was put there later with an older time, it is compared
    with what the file shows (see `resemblance`). A .feds file that is not up to date is replaced, because it can be
    made again. Any other file is replaced only with `force`, which makes everything again.
    """

    status = ENCODED

    def __init__(self, how: Encoding) -> None:
        found = registry.resolve(how.model)
        info = registry.describe(found.path)
        self.how, self.device = how, how.device
        self._fingerprint, self._highest = info.fingerprint, 1000 * len(info.qualities)
        self._quality = found.quality_of(len(info.qualities)) if how.quality is None else how.quality
        self._model: Model | None = None

    def open(self) -> None:
        """Load the network. Raises here, once, what would fail for every file: a missing network or quality."""
        from ..codec.model import load_model

        if self._model is None:
            model = load_model(self.how.model, self.how.device, self.how.backend)
            model.check_quality(self._quality)
            if self.how.effort:  # now, as threads that begin together would use a torch that one of them still loads
                import_module("torch")
            self._model = model

    def is_up_to_date(self, task: Task) -> bool:
        """Whether the file is up to date. Raises OutputError if something else exists at its place."""
        there = self._there(task)
        return there is not None and self._seems_up_to_date(there, task) and not may_have_been_replaced(task)

    def _there(self, task: Task) -> Header | None:
        """The header of the existing file if that may stay: it is of this network and picture, and not older."""
        if self.how.force or not os.path.lexists(task.target):
            return None
        header = _header(task.target)
        return header if header is not None and self._is_of_now(header, task) else None

    def _seems_up_to_date(self, header: Header, task: Task) -> bool:
        """Whether the file is up to date, as far as that shows without decoding pixels."""
        if self.how.target is None:
            same = header.quality == round(1000 * self._quality)
        else:
            same = self.how.target.is_size and self._fills(self.how.target, header, task.target.stat().st_size)
        return same and self._holds_what_was_asked_for(task)

    def _holds_what_was_asked_for(self, task: Task) -> bool:
        """Whether a file has the profile, Exif, XMP and checks that it would get now (none with --strip)."""
        try:
            file = unpack(task.target.read_bytes(), max_pixels=None)
            wanted = Beside(None, None, None) if self.how.strip else read_beside(task.source)
        except FedsError:
            return False  # a damaged result is made anew; what is wrong with a source is for reading to tell
        return is_as_asked(file, wanted, stream_checks=self.how.stream_checks, preview=self.how.preview)

    def _is_of_now(self, header: Header, task: Task) -> bool:
        newer = task.target.stat().st_mtime_ns >= task.source.stat().st_mtime_ns
        pixels = expected_pixels(task.source, None)
        as_many = pixels in (0, header.width * header.height)  # 0 where it cannot be told
        return newer and as_many and header.fingerprint.hex() == self._fingerprint

    def _fills(self, target: Target, header: Header, cost: float) -> bool:
        """Whether a search for the target would have left a file of that cost."""
        limit, last = target.limit(header.width * header.height), self._highest if target.is_size else 1000
        return close(cost, limit) or (cost <= limit and header.quality == last)

    def expected(self, task: Task) -> int:
        """Pixels of the picture of a task, by its header."""
        return expected_pixels(task.source, self.how.max_pixels)

    def read(self, task: Task) -> Picture:
        """The picture of a task."""
        picture = read_picture(task.source, name=shown(task.source), max_pixels=self.how.max_pixels)
        return stripped(picture) if self.how.strip else picture

    def pixels(self, picture: Picture) -> int:
        """What a picture costs in memory, counted in pixels."""
        pixels = picture.width * picture.height
        refining = effort.BYTES_PER_PIXEL * min(pixels, effort.PIXELS_AT_ONCE) if self.how.effort else 0
        return pixels + refining // BYTES_PER_PIXEL

    def work(self, task: Task, picture: Picture) -> Worked | None:
        """Encode; return None if the existing file turns out to reach its target already."""
        from ..codec.single import encode_one

        there = self._there(task)
        data = b"" if there is None else task.target.read_bytes()
        if there and self._reaches_target(there, data, task, picture):
            return None
        if there and self._seems_up_to_date(there, task) and self._shows(picture, data):
            note_that_it_is_of_now(task.target)
            return None
        made = encode_one(picture, self._opened, self.how, name=shown(task.source))
        if made.encoded.data == data:  # where a preview that was asked for did not fit again
            note_that_it_is_of_now(task.target)
            return None
        notes = (*picture.warnings, *([made.note] if made.note else []))
        return Worked(made.encoded.data, made.seconds, self._facts(made, notes))

    def _shows(self, picture: Picture, data: bytes) -> bool:
        """Whether the existing file is of this picture; a damaged one is not, and is made anew."""
        try:
            return resembles(picture, unpack(data, max_pixels=None), self._opened)
        except FormatError:
            return False

    def _reaches_target(self, header: Header, data: bytes, task: Task, picture: Picture) -> bool:
        """Whether the existing file reaches a target fidelity, which only its decoded picture can show."""
        target = self.how.target
        if target is None or target.is_size or (header.width, header.height) != (picture.width, picture.height):
            return False
        if not self._holds_what_was_asked_for(task):
            return False
        try:
            decoded = self._opened.decode(data, max_pixels=None)
        except FormatError:
            return False  # it is to be replaced
        return self._fills(target, header, target.error(picture, decoded))

    def _facts(self, made: Made, notes: tuple[str, ...]) -> Facts:
        from ..codec.exact import is_exact

        header = read_header(made.encoded.data)
        name, fingerprint = self._opened.name, self._fingerprint
        return Facts(
            header.width,
            header.height,
            header.grey,
            header.quality / 1000,
            name,
            fingerprint,
            made.measured,
            notes,
            lossless=is_exact(made.encoded),
        )

    def finish(self, task: Task, payload: bytes) -> bytes:
        """The bytes of the file, which `work` has made already."""
        return payload

    @property
    def _opened(self) -> Model:
        if self._model is None:
            raise RuntimeError("a batch begins with open()")
        return self._model


def _header(path: Path) -> Header | None:
    """The header of the file at an output path, or None if it is damaged.

    Raises OutputError if it is not a .feds file.
    """
    if kind := odd_kind(path):
        raise OutputError(f"{shown(path)}: is {kind}, expected a file")
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES_AT_MOST)
    try:
        return read_header(head, name=shown(path))
    except FormatError:
        if MAGIC.startswith(head[: len(MAGIC)]):  # an empty one too
            return None
        raise OutputError(
            f"{shown(path)}: already exists and is not a .feds file, use --force to overwrite it"
        ) from None

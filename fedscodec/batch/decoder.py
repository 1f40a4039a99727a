"""Decode a batch of .feds files: which pictures are up to date, and the stages of one file."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from ..boxes import PIXELS
from ..codec.settings import Decoding
from ..errors import FedsError, ImageError, OutputError
from ..fileformat import HEADER_BYTES_AT_MOST, FedsFile, Salvage, excess, read_header
from ..files.inputs import odd_kind, read_feds
from ..files.names import shown
from ..images import read_picture
from .done import DECODED, Facts, Worked
from .plan import Task
from .resemblance import may_have_been_replaced, note_that_it_is_of_now, resembles

if TYPE_CHECKING:
    from ..codec.model import Model
    from ..images import Picture


class Decoder:
    """The stages of decoding one file of a batch. Each network that the files need is loaded once.

    A picture is up to date if it is complete, has the right size and is not older than its file. If the file was put
    there later with an older time, the picture must also show the same. A picture that is cut short is made again. One
    that is older, has another size, or shows something else is replaced only with `force`: it may be what the file was
    made from.
    """

    status = DECODED

    def __init__(self, how: Decoding) -> None:
        self.how, self.device = how, how.device
        self._models: dict[bytes | str, Model] = {}
        self._loading = threading.Lock()

    def open(self) -> None:
        """Do nothing: the files say which networks they need."""

    def is_up_to_date(self, task: Task) -> bool:
        """Whether the picture is up to date. Raises OutputError if an older one exists."""
        if self.how.force or not os.path.lexists(task.target):
            return False
        target, source = shown(task.target), shown(task.source)
        if kind := odd_kind(task.target):
            raise OutputError(f"{target}: is {kind}, expected a file")
        if task.target.stat().st_mtime_ns < task.source.stat().st_mtime_ns:
            raise OutputError(f"{target}: already exists and is older than {source}, use --force to overwrite it")
        found = self._found(task)
        if found is None or self.how.slices is not None:
            return False
        if found != (wanted := self._size_of(task)):
            sizes = f"has {found[0]}x{found[1]} pixels, expected {wanted[0]}x{wanted[1]} of {source}"
            raise OutputError(f"{target}: already exists and {sizes}; use --force to overwrite it")
        return not may_have_been_replaced(task)

    def _found(self, task: Task) -> tuple[int, int] | None:
        """Width and height of the existing picture, or None if it is cut short. Raises OutputError if it is not a
        picture.
        """
        from ..images import size_if_whole

        try:
            return size_if_whole(task.target)
        except ImageError:
            raise OutputError(
                f"{shown(task.target)}: already exists and is not a picture, use --force to overwrite it"
            ) from None

    def _size_of(self, task: Task) -> tuple[int, int]:
        """Width and height of the picture that this task makes."""
        with task.source.open("rb") as stream:
            header = read_header(stream.read(HEADER_BYTES_AT_MOST), name=shown(task.source))
        if self.how.size is None:
            return header.width, header.height
        from ..codec.previews import preview_size

        return preview_size(header.width, header.height, self.how.size)

    def expected(self, task: Task) -> int:
        """Pixels of the picture of a task, by its header."""
        with suppress(FedsError, OSError):
            if task.source.is_file():
                with task.source.open("rb") as stream:
                    header = read_header(stream.read(HEADER_BYTES_AT_MOST))
                return 0 if excess(header.width, header.height, self.how.max_pixels) else header.width * header.height
        return 0

    def read(self, task: Task) -> FedsFile | Salvage:
        """The file of a task."""
        return self.how.unpack(read_feds(task.source), name=shown(task.source))

    def pixels(self, file: FedsFile | Salvage) -> int:
        """What a picture costs in memory, counted in pixels."""
        return file.header.width * file.header.height

    def work(self, task: Task, file: FedsFile | Salvage) -> Worked | None:
        """Decode; return None if the existing picture turns out to be up to date."""
        from ..codec.single import decode_one
        from ..images import not_kept

        header, name = file.header, shown(task.source)
        model = self._model(header.fingerprint, name)
        if self._is_there(task, file, model):
            note_that_it_is_of_now(task.target)
            return None
        decoded = decode_one(file, model, self.how, name=name)
        notes = not_kept(decoded.picture, self.how.format or "png")
        boxes = (file.file if isinstance(file, Salvage) else file).boxes
        facts = Facts(
            header.width, header.height, header.grey, header.quality / 1000, model.name, header.fingerprint.hex(),
            notes=notes, lossless=PIXELS in boxes,
        )  # fmt: skip
        return Worked(decoded.picture, sum(decoded.seconds.values()), facts)

    def _is_there(self, task: Task, file: FedsFile | Salvage, model: Model) -> bool:
        """Whether a picture of this file exists. Raises OutputError if the picture shows something else."""
        if self.how.force or isinstance(file, Salvage) or not task.target.exists() or self._found(task) is None:
            return False
        if self.how.slices is not None:
            raise OutputError(f"{shown(task.target)}: already exists, use --force to overwrite it")
        found = read_picture(task.target, name=shown(task.target), max_pixels=None)
        if not resembles(found, file, model, self.how.size):
            source = shown(task.source)
            raise OutputError(
                f"{shown(task.target)}: already exists and does not show {source}, use --force to overwrite it"
            )
        return True

    def finish(self, task: Task, payload: Picture) -> bytes:
        """Encode the picture in its output format."""
        from ..images import picture_bytes

        return picture_bytes(payload, self.how.format or "png", quality=self.how.quality, name=shown(task.target))

    def _model(self, fingerprint: bytes, name: str) -> Model:
        from ..codec.model import model_of_file

        how, which = self.how, self.how.model or fingerprint
        with self._loading:
            if which not in self._models:
                self._models[which] = model_of_file(fingerprint, how.model, how.device, backend=how.backend, name=name)
            return self._models[which]

"""Files .feds to pictures, for a batch: what is up to date, and the stages of one file."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from ..codec.settings import Decoding
from ..errors import FedsError, OutputError
from ..fileformat import HEADER_BYTES_AT_MOST, FedsFile, Salvage, excess, read_header
from ..files.inputs import read_feds
from ..files.names import shown
from .done import DECODED, Facts, Worked
from .plan import Task

if TYPE_CHECKING:
    from ..codec.model import Model
    from ..images import Picture


class Decoder:
    """The stages of decoding one file of a batch. Each network that the files need is loaded once.

    A picture that is not older than its file is up to date. One that is older is not replaced unless `force` is set:
    it may be what the file was made from.
    """

    status = DECODED

    def __init__(self, how: Decoding) -> None:
        self.how, self.device = how, how.device
        self._models: dict[bytes, Model] = {}
        self._loading = threading.Lock()

    def open(self) -> None:
        """Nothing: which networks are needed is in the files."""

    def is_up_to_date(self, task: Task) -> bool:
        """Whether the picture is there, and of now; OutputError where an older one is."""
        if self.how.force or not task.target.exists():
            return False
        if task.target.stat().st_mtime_ns >= task.source.stat().st_mtime_ns:
            return True
        raise OutputError(f"{task.target}: exists already and is older than {task.source}, --force overwrites it")

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

    def work(self, task: Task, file: FedsFile | Salvage) -> Worked:
        """Decode."""
        from ..codec.single import decode_one
        from ..images import not_kept

        header, name = file.header, shown(task.source)
        model = self._model(header.fingerprint, name)
        decoded = decode_one(file, model, self.how, name=name)
        notes = not_kept(decoded.picture, self.how.format or "png")
        facts = Facts(
            header.width, header.height, header.grey, header.quality / 1000, model.name, header.fingerprint.hex(),
            notes=notes,
        )  # fmt: skip
        return Worked(decoded.picture, sum(decoded.seconds.values()), facts)

    def finish(self, task: Task, payload: Picture) -> bytes:
        """The picture as the bytes of its file."""
        from ..images import encode_picture

        return encode_picture(payload, self.how.format or "png", name=shown(task.target))

    def _model(self, fingerprint: bytes, name: str) -> Model:
        from ..codec.model import model_by_fingerprint

        with self._loading:
            if fingerprint not in self._models:
                self._models[fingerprint] = model_by_fingerprint(fingerprint, self.how.device, name=name)
            return self._models[fingerprint]

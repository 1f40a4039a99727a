"""The results of a batch: one `Done` for each file, and their total."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ENCODED, DECODED, SKIPPED, FAILED = "encoded", "decoded", "skipped", "failed"


@dataclass(frozen=True)
class Facts:
    """Facts about a file that is done; `measured` has the measured metrics by name; `lossless`: it holds all pixels."""

    width: int
    height: int
    grey: bool
    quality: float
    model: str
    fingerprint: str
    measured: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lossless: bool = False


@dataclass(frozen=True)
class Worked:
    """The output of network and coder for one file, and the seconds they took; the payload is not yet on the disk."""

    payload: Any
    seconds: float
    facts: Facts


@dataclass(frozen=True)
class Done:
    """One file: encoded or decoded, skipped because it was up to date, or failed with an error.

    Bytes are the sizes of the source and of the result; seconds are those of network and coder.
    """

    source: Path
    target: Path
    status: str
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    facts: Facts | None = None
    error: Exception | None = None


@dataclass
class Total:
    """The total of a batch so far. `megapixels` counts files that were done, not those that were skipped."""

    files: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    megapixels: float = 0.0

    def add(self, done: Done) -> None:
        """Add one more file; bytes count only for files that were done."""
        self.files += 1
        if done.status in (SKIPPED, FAILED):
            self.skipped += done.status == SKIPPED
            self.failed += done.status == FAILED
            return
        self.done += 1
        self.bytes_in += done.bytes_in
        self.bytes_out += done.bytes_out
        if done.facts:
            self.megapixels += done.facts.width * done.facts.height / 1e6


def as_record(done: Done) -> dict[str, Any]:
    """A file as plain values for JSON; `error` is the message."""
    record: dict[str, Any] = {"source": str(done.source), "output": str(done.target), "status": done.status}
    if done.error is not None:
        return record | {"error": str(done.error) or type(done.error).__name__}
    record |= {"bytes_in": done.bytes_in, "bytes_out": done.bytes_out}
    if done.facts is not None:
        facts = asdict(done.facts)
        measured = {name: value if math.isfinite(value) else None for name, value in facts.pop("measured").items()}
        record |= {"seconds": round(done.seconds, 4), **measured, **facts}
    return record

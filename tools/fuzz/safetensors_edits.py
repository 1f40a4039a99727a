"""Weights files with something wrong in them, made from an input step by step, where their structure is.

A weights file is known here as a draft: its arrays and words, which give a header and a run of bytes, which give the
file. A step changes it at one of these levels, so that every check of a reader is met with everything else sound:

    arrays    values, types, shapes, missing ones, fields of the description (the fingerprint is then made to fit)
    header    types, shapes, offsets, names, two of one name, words that are no words
    file      the length of the header, letters in it, its end, the end of the file

The first byte of an input picks the network, the second whether the fingerprint is made to fit and at which
level; then eight bytes are a step: what is done, to which tensor, a number of four bytes, a place of two.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedscodec.entropy.tables import Tables
from fedscodec.errors import FedsError
from fedscodec.networks import metadata, weights

STEP, MOST_STEPS = 8, 12
_LEVELS = (*["arrays"] * 5, "header", "file", "all")  # what is behind the first lies in our code, and is most
_NAMES = {
    "float16": "F16",
    "float32": "F32",
    "int8": "I8",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
}
_TYPES = (*_NAMES.values(), "F64", "BF16", "I16", "U16", "U32", "F8_E4M3", "Q4", "", 7, None, ["I8"])
_ODD = (0, 1, -1, 2**31, 2**32, 2**63 - 1, 2**64, -(2**63), 1.5, "1", None, [], {}, True)
_LETTERS = ' "{}[]:,0-9eE.\\u\0\n\x7f'


@dataclass
class Draft:
    """A weights file on its way; `entries` may hold a name twice, which a dict could not."""

    arrays: dict[str, np.ndarray]
    words: dict[str, Any]
    entries: list[tuple[str, Any]] = field(default_factory=list)
    blob: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)

    def to_header(self) -> None:
        """Lay the arrays out."""
        for name, array in sorted(self.arrays.items()):
            begin = len(self.blob)
            self.blob += np.ascontiguousarray(array).tobytes()
            entry = {
                "dtype": _NAMES[array.dtype.name],
                "shape": list(array.shape),
                "data_offsets": [begin, len(self.blob)],
            }
            self.entries.append((name, entry))

    def to_file(self) -> None:
        """Write header and blob, as safetensors has them."""
        parts = [("__metadata__", self.words), *self.entries]
        text = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in parts) + "}"
        head = text.encode() + b" " * (-len(text.encode()) % 8)
        self.data = bytearray(struct.pack("<Q", len(head)) + head + self.blob)


@dataclass(frozen=True)
class Step:
    """What a few bytes of an input ask for."""

    what: int
    which: int
    value: int
    place: int

    @staticmethod
    def of(data: bytes) -> Step:
        """Read a step."""
        return Step(
            data[0], data[1], int.from_bytes(data[2:6], "little", signed=True), int.from_bytes(data[6:8], "little")
        )

    def pick(self, choices: Any) -> Any:  # noqa: ANN401 (of whatever there is)
        """One of several."""
        return choices[self.place % len(choices)]


def edited(data: bytes, networks: list[tuple[dict[str, np.ndarray], dict[str, str]]]) -> bytes:
    """The file that an input stands for, of one of these networks."""
    first, second = (*data[:2], 0, 0)[:2]
    arrays, words = networks[first % len(networks)]
    draft = Draft(dict(arrays), dict(words))
    last = min(len(data) - STEP, STEP * MOST_STEPS)
    steps = [Step.of(data[at : at + STEP]) for at in range(2, last + 1, STEP)]
    level = _LEVELS[second >> 1 & 7]
    for step in steps if level in ("arrays", "all") else ():
        change_arrays(step, draft)
    if second & 1:
        draft.words["fingerprint"] = fitting_fingerprint(draft)
    draft.to_header()
    for step in steps if level in ("header", "all") else ():
        change_header(step, draft)
    draft.to_file()
    for step in steps if level in ("file", "all") else ():
        change_file(step, draft)
    return bytes(draft.data)


def fitting_fingerprint(draft: Draft) -> str:
    """That of the integers as they are now, where they can have one."""
    parts = [
        {name.removeprefix(head): v for name, v in draft.arrays.items() if name.startswith(head)}
        for head in ("side.", "tables.z.", "tables.y.")
    ]
    with suppress(FedsError):
        described = metadata.spec_of(draft.words, Path("draft"))
        return weights.fingerprint_of(parts[0], *(Tables.from_arrays(part) for part in parts[1:]), described).hex()
    return draft.words.get("fingerprint", "")


# ── Arrays and words ──────────────────────────────────────────────────────────────────────────────────────


def change_arrays(step: Step, draft: Draft) -> None:
    """One change that leaves a file which any reader of safetensors takes for sound."""
    names = sorted(draft.arrays)
    if names and step.what < 128:
        name = names[step.which % len(names)]
        change = _ARRAY_CHANGES[step.what % len(_ARRAY_CHANGES)]
        found = change(draft.arrays[name], step)
        draft.arrays = {k: v for k, v in draft.arrays.items() if k != name} | ({} if found is None else {name: found})
    elif step.what < 224:
        _change_spec(step, draft)
    else:
        draft.words[step.pick(("format", "fingerprint", "spec", "origin"))] = str(step.value)


def _set_one(array: np.ndarray, step: Step) -> np.ndarray:
    changed = array.copy()
    if changed.size:
        changed.reshape(-1)[step.place % changed.size] = _as(step.value, array.dtype)
    return changed


def _as(value: int, kind: np.dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array(value).astype(kind)


def _extreme(array: np.ndarray, step: Step) -> np.ndarray:
    if array.dtype.kind == "f":
        return np.full_like(array, step.pick((np.nan, np.inf, -np.inf, 6e4, -6e4, 1e-7, 0.0)))
    if array.dtype.kind == "i":
        limits = np.iinfo(array.dtype)
        return np.full_like(array, step.pick((limits.min, limits.max, 0, 1, -1)))
    return array


_ARRAY_CHANGES: list[Callable[[np.ndarray, Step], np.ndarray | None]] = [
    _set_one,
    _set_one,
    _extreme,
    lambda array, _: None,
    lambda array, step: array.astype(step.pick((np.float32, np.int64, np.uint8, np.float16, bool, np.int8))),
    lambda array, step: array.reshape(-1)[: step.place % (array.size + 1)],
    lambda array, step: array.reshape(*array.shape, *[1] * (1 + step.place % 3)),
    lambda array, step: np.concatenate([array.reshape(-1)] * 2),
    lambda array, step: array.T,
    lambda array, step: np.full_like(array, _as(step.value, array.dtype)),
]


def _change_spec(step: Step, draft: Draft) -> None:
    try:
        described = json.loads(draft.words["spec"])
        fields = sorted(described)
    except (KeyError, TypeError, ValueError):
        return
    name, value = fields[step.which % len(fields)], step.value
    small = abs(value) % 9
    odd: tuple[Any, ...] = (
        small, small, value, [small], [small] * (step.which % 12), value / 7, None, str(value), -small, {}, True,
        {"window": small, "heads": step.which % 5, "blocks": 1}, {"version": "swin-v1", "window": 2, "heads": 1},
        "transformer", "ms-ssim", [0.01, 0.02], [1e400],
    )  # fmt: skip
    described[name] = step.pick(odd)
    draft.words["spec"] = json.dumps(described)


# ── Header and file ───────────────────────────────────────────────────────────────────────────────────────


def change_header(step: Step, draft: Draft) -> None:
    """One entry of the header that is not as it should be."""
    if not draft.entries:
        return
    at = step.which % len(draft.entries)
    name, entry = draft.entries[at]
    entry = dict(entry) if isinstance(entry, dict) else entry
    kind = step.what % 10
    if kind < 5 and isinstance(entry, dict):
        _change_entry(kind, step, entry)
        draft.entries[at] = (name, entry)
    elif kind == 5:
        other = draft.entries[step.place % len(draft.entries)][0]
        draft.entries[at] = (step.pick((other, "", "side", "exec.code", "__metadata__", "side." * 999)), entry)
    elif kind == 6:
        draft.entries.append((step.pick((name, f"{name}.more", "tables.z.low")), entry))
    elif kind == 7:
        draft.entries[at] = (name, step.pick(_ODD))
    elif kind == 8:
        draft.words = step.pick(
            (_ODD, [draft.words], None, {"format": 1}, {"format": "feds-weights-1", "spec": {}}, {}, draft.words)
        )
    else:
        draft.blob = (
            draft.blob[: step.value % (len(draft.blob) + 1)] if step.place % 2 else draft.blob + bytes(step.place)
        )


def _change_entry(kind: int, step: Step, entry: dict[str, Any]) -> None:
    shape, offsets = list(entry.get("shape") or []), list(entry.get("data_offsets") or [0, 0])
    if kind == 0:
        entry["dtype"] = step.pick(_TYPES)
    elif kind == 1 and shape:
        shape[step.place % len(shape)] = step.value if step.what < 200 else step.pick(_ODD)
        entry["shape"] = shape
    elif kind == 2:
        entry["shape"] = step.pick(
            (shape[:-1], [*shape, 1], [*shape, 0], shape[::-1], [shape], _ODD, [], None, [2**62, 4])
        )
    elif kind == 3:
        offsets[step.place % len(offsets)] += step.value if step.what < 200 else step.value % 16
        entry["data_offsets"] = offsets
    else:
        entry["data_offsets"] = step.pick(
            (offsets[::-1], offsets[:1], [0, 2**64], [-1, 3], None, [0.5, 1], [2**63, 2**63 + 4])
        )


def change_file(step: Step, draft: Draft) -> None:
    """Bytes of the file that are not as they should be."""
    length = int.from_bytes(draft.data[:8], "little")
    kind = step.what % 5
    if kind == 0:
        wrong = step.pick((length + step.value, length - 1, length + 1, step.value, 2**63, 2**64 - 1, 100_000_000, 0))
        draft.data[:8] = struct.pack("<Q", wrong % 2**64)
    elif kind == 1 and len(draft.data) > 8:
        within = max(min(length, len(draft.data) - 8), 1)
        draft.data[8 + step.value % within] = ord(step.pick(_LETTERS))
    elif kind == 2:
        del draft.data[max(len(draft.data) - step.place, 0) :]
    elif kind == 3:
        draft.data += bytes([step.which]) * (step.place % 100)
    elif len(draft.data) > 8:
        draft.data[8 + step.value % (len(draft.data) - 8)] ^= 1 << step.place % 8

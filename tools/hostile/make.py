"""Make the files of tests/hostile; those that are there already are never touched.

    python tools/hostile/make.py

Each file must be refused with the sentence that `sentences.json` has for it: .feds files by `feds decode`, weights
files (.safetensors) by `feds encode --model`. A new file gets the sentence that it is refused with today: read it
before committing.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save, save_file

TESTS = Path(__file__).parents[2] / "tests"
FOLDER, CORPUS = TESTS / "hostile", TESTS / "conformance" / "v1"
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from alphas import alphas  # noqa: E402
from conftest import make_model  # noqa: E402

from fedscodec import fileformat  # noqa: E402
from fedscodec.entropy.tables import Tables  # noqa: E402
from fedscodec.networks.metadata import read_metadata, spec_of  # noqa: E402
from fedscodec.networks.spec import paper_stages  # noqa: E402
from fedscodec.networks.weights import fingerprint_of, write_weights  # noqa: E402

TINY = bytes.fromhex("ee506800deecf45c")
SOUND = (CORPUS / "photo-64x64-q1.feds").read_bytes()
_FILE = fileformat.unpack(SOUND)
Z, ONE, TWO = _FILE.streams


def header(
    size: bytes = b"\x40\x40", lengths: bytes = b"\0\0\0", *, slices: int = 2, flags: int = 0, quality: int = 1000,
    fingerprint: bytes = TINY, checksum: bytes = bytes(4),
) -> bytes:  # fmt: skip
    """A header with a check that fits, whatever is in it."""
    head = b"FEDS\x01" + bytes([slices | flags]) + fingerprint + struct.pack("<H", quality) + size + lengths + checksum
    return head + zlib.crc32(head).to_bytes(4, "little")[:2]


def file(streams: tuple[bytes, ...], width: int = 64, height: int = 64, **changes: Any) -> bytes:
    """A file whose header is right about these streams; its checksum is that of the sound file."""
    fields = {"fingerprint": TINY, "quality": 1000, "width": width, "height": height, "grey": False}
    lengths = tuple(map(len, streams))
    found = fileformat.Header(**{**fields, **changes}, stream_lengths=lengths, checksum=_FILE.header.checksum)
    return fileformat.pack(fileformat.FedsFile(found, streams))


def box(kind: bytes, payload: bytes) -> bytes:
    """A box whose check fits."""
    check = zlib.crc32(payload, zlib.crc32(kind))
    return kind + fileformat.varint(len(payload)) + payload + check.to_bytes(4, "little")


def boxed(count: bytes, *boxes: bytes) -> bytes:
    """The sound file's streams, and boxes behind them."""
    lengths = b"".join(bytes([len(s)]) for s in _FILE.streams)
    checksum = _FILE.header.checksum.to_bytes(4, "little")
    return header(lengths=lengths, flags=0x80, checksum=checksum) + Z + ONE + TWO + count + b"".join(boxes)


def deflated(data: bytes) -> bytes:
    """A raw deflate stream."""
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    """The data with one bit changed."""
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


_STREAMS_AT = len(SOUND) - sum(map(len, _FILE.streams))
_HUGE = b"\xff\xff\xff\xff\x0f"  # 2**32 - 1

FILES: dict[str, bytes] = {
    "empty": b"",
    "one-byte": b"F",
    "a-png": b"\x89PNG\r\n\x1a\n" + bytes(60),
    "version-0": flipped(SOUND, 4, 1),
    "version-2": flipped(SOUND, 4, 3),
    "version-255": flipped(SOUND, 4, 0xFE),
    "header-cut": SOUND[:20],
    "header-flipped": flipped(SOUND, 17),
    "header-check-flipped": flipped(SOUND, _STREAMS_AT - 1),
    "slices-none": header(slices=0, lengths=b"\0"),
    "slices-63": header(slices=63, lengths=b"\0" * 64),
    "slices-3": header(slices=3, lengths=b"\0" * 4),
    "quality-0": header(quality=0),
    "quality-0.999": header(quality=999),
    "quality-65.535": header(quality=65535),
    "network-unknown": header(fingerprint=b"no model"),
    "width-0": header(b"\0\x40"),
    "width-2-to-the-31": header(b"\x80\x80\x80\x80\x08\x01"),
    "pixels-beyond-the-format": header(b"\x80\x80\x04\x81\x80\x02"),
    "pixels-2-to-the-31": header(b"\x80\x80\x04\x80\x80\x02"),
    "pixels-just-beyond-the-limit": header(b"\x81\x40\x80\x40"),
    "one-row-of-64-megapixels": header(b"\x80\x80\x80\x20\x01"),
    "one-column-of-64-megapixels": header(b"\x01\x80\x80\x80\x20"),
    "number-not-shortest": header(b"\xc0\x00\x40"),
    "number-beyond-32-bits": header(b"\xff\xff\xff\xff\x1f\x40"),
    "number-without-end": header(b"\xff" * 10),
    "streams-of-4-gigabytes": header(lengths=_HUGE * 3),
    "streams-missing": SOUND[:_STREAMS_AT],
    "stream-cut": SOUND[:-1],
    "bytes-behind": SOUND + b"\0",
    "claims-64-megapixels-of-nothing": file((b"", b"", b""), 8192, 8192),
    "claims-64-megapixels-of-a-little": file((b"\1" * 9, b"\1" * 9, b"\1" * 9), 8192, 8192),
    "claims-64-megapixels-of-noise": file((bytes(range(1, 256)), b"\1" * 99, b"\1" * 99), 8192, 8192),
    "z-empty": file((b"", ONE, TWO)),
    "z-ends-in-zero": file((Z + b"\0", ONE, TWO)),
    "z-too-long": file((b"\1" * 500, ONE, TWO)),
    "z-ends-early": file((b"\1", ONE, TWO)),
    "z-of-ones": file((b"\xff" * 9, ONE, TWO)),
    "slice-1-empty": file((Z, b"", TWO)),
    "slice-1-flipped": file((Z, flipped(ONE, 9, 16), TWO)),
    "slice-1-cut": file((Z, ONE[:-1], TWO)),
    "slice-2-longer": file((Z, ONE, TWO + b"\1\1\1\1")),
    "slices-swapped": file((Z, TWO, ONE)),
    "larger-than-its-streams": file(_FILE.streams, 65, 64),
    "of-another-quality": file(_FILE.streams, quality=1001),
    "grey-but-was-not": file(_FILE.streams, grey=True),
    "checksum-flipped": header(lengths=bytes(map(len, _FILE.streams))) + Z + ONE + TWO,
    "boxes-promised": boxed(b"\0"),
    "boxes-cut": boxed(b"\1", b"EX"),
    "boxes-4-thousand-million": boxed(_HUGE, box(b"EXIF", b"a")),
    "box-of-4-gigabytes": boxed(b"\1", b"EXIF" + _HUGE),
    "box-flipped": boxed(b"\1", flipped(box(b"EXIF", b"abcd"), 6)),
    "box-twice": boxed(b"\2", box(b"EXIF", b"a"), box(b"EXIF", b"b")),
    "box-of-a-later-version": boxed(b"\1", box(b"Zoom", b"a")),
    "box-type-not-printable": boxed(b"\1", box(b"A\x1b[m", b"a")),
    "box-inflates-to-4-gigabytes": boxed(b"\1", box(b"exiz", _HUGE + b"\x03\0")),
    "box-inflates-to-more-than-it-says": boxed(b"\1", box(b"exiz", b"\x05" + deflated(bytes(100_000)))),
    "box-inflates-to-less-than-it-says": boxed(b"\1", box(b"xmpz", b"\x65" + deflated(bytes(100)))),
    "box-inflates-and-more": boxed(b"\1", box(b"xmpz", b"\x64" + deflated(bytes(100)) + b"\0")),
    "box-not-deflated": boxed(b"\1", box(b"ICCZ", b"\x64" + b"\xff" * 20)),
    "boxes-of-two-profiles": boxed(b"\2", box(b"ICCP", b"a profile"), box(b"srgb", b"")),
    "box-plain-and-deflated": boxed(b"\2", box(b"EXIF", b"a"), box(b"exiz", b"\x64" + deflated(bytes(100)))),
    "sums-of-other-streams": boxed(b"\1", box(b"sums", b"abcdef")),
    "sums-of-one-stream": boxed(b"\1", box(b"sums", zlib.crc32(Z).to_bytes(4, "little")[:2])),
    "box-and-more": boxed(b"\1", box(b"EXIF", b"a"), b"\0"),
}  # fmt: skip


def nano() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and words of the smallest weights file there is."""
    path = FOLDER / "nano.tmp"
    model = make_model(
        seed=3, stages=paper_stages(0, width=2), latents=2, slices=1, shortcut="none", hyper_latents=1, hyper_filters=1,
        slice_filters=(1,), scales=2, largest_scale=1.0,
    )  # fmt: skip
    write_weights(path, model, {"origin": "random"})
    try:
        return load_file(path), read_metadata(path)
    finally:
        path.unlink()


Change = Callable[[dict[str, np.ndarray], dict[str, str]], None]


def _tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(arrays: dict[str, np.ndarray], words: dict[str, str]) -> None:
        arrays[name] = np.ascontiguousarray(change(arrays[name].copy()))

    return apply


def _put(place: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array.reshape(-1)[place] = value
        return array

    return change


def _spec(**changes: object) -> Change:
    def apply(arrays: dict[str, np.ndarray], words: dict[str, str]) -> None:
        words["spec"] = json.dumps({**json.loads(words["spec"]), **changes})

    return apply


def _stages(**changes: Any) -> list[dict[str, Any]]:
    """Stages as JSON has them."""
    return [{"at": at, "kind": "residual", "width": 2, "blocks": 0, "attention": None, **changes} for at in (2, 4, 8)]


def _word(name: str, value: str) -> Change:
    return lambda arrays, words: words.__setitem__(name, value)


WIDE = {"stages": _stages(width=4096, blocks=64), "latents": 4096, "slices": 32, "hyper_latents": 4096,
        "hyper_filters": 4096, "slice_filters": [4096] * 8}  # fmt: skip


def _sums_that_overflow(arrays: dict[str, np.ndarray], words: dict[str, str]) -> None:
    arrays["side.h_s.1.bias"][0], arrays["side.h_s.1.multiplier"][0] = -(2**31), 2**31 - 1


WEIGHTS: dict[str, Change] = {
    "format-9": _word("format", "feds-weights-9"),
    "fingerprint-of-another": _word("fingerprint", "0123456789abcdef"),
    "fingerprint-of-nothing": lambda arrays, words: words.pop("fingerprint"),
    "spec-missing": lambda arrays, words: words.pop("spec"),
    "spec-not-json": _word("spec", "{"),
    "spec-a-list": _word("spec", "[]"),
    "spec-5000-deep": _word("spec", "[" * 5000),
    "spec-unknown-field": _spec(colour=1),
    "spec-width-4097": _spec(stages=_stages(width=4097)),
    "spec-everything-4096-wide": _spec(**WIDE),
    "spec-window-1000000": _spec(stages=_stages(attention={"window": 1_000_000})),
    "spec-1000-layers": _spec(slice_filters=[1] * 1000),
    "spec-not-a-number": _spec(lambdas=[float("nan")]),
    "spec-of-more-tables": _spec(scales=3),
    "spec-of-more-channels": _spec(hyper_filters=2),
    "spec-of-more-filters": _spec(stages=_stages(width=3)),
    "tensor-unknown": lambda arrays, words: arrays.__setitem__("exec.code", np.zeros(4, np.int8)),
    "tensor-missing": lambda arrays, words: arrays.pop("g_s.last.weight"),
    "integers-missing": lambda arrays, words: arrays.pop("side.nets.0.first.weight"),
    "integers-of-floats": _tensor("side.h_s.0.weight", lambda a: a.astype(np.float32)),
    "integers-of-another-shape": _tensor("side.h_s.0.bias", lambda a: a[:, None]),
    "floats-of-another-shape": _tensor("g_s.last.bias", lambda a: a[:-1]),
    "sums-that-overflow": _sums_that_overflow,
    "multiplier-negative": _tensor("side.h_s.2.multiplier", _put(0, -1)),
    "shift-63": _tensor("side.h_s.3.shift", _put(0, 63)),
    "context-shift-0": _tensor("side.context.shift", _put(0, 0)),
    "table-of-other-sum": _tensor("tables.y.frequencies", _put(0, 5)),
    "table-with-zeros": _tensor("tables.z.frequencies", _put(3, 0)),
    "table-upside-down": _tensor("tables.y.low", _put(0, 30000)),
    "table-too-wide": _tensor("tables.z.high", _put(0, 2**31 - 1)),
    "table-skip-99": _tensor("tables.y.skip", _put(0, 99)),
    "floats-not-a-number": _tensor("g_s.last.bias", _put(1, np.nan)),
    "floats-infinite": _tensor("g_a.last.weight", _put(1, np.inf)),
}


def refit(arrays: dict[str, np.ndarray], words: dict[str, str]) -> None:
    """Give changed integers the fingerprint that is theirs, as whoever changes them can, where they can have one."""
    try:
        z, y = (
            Tables.from_arrays({k[9:]: v for k, v in arrays.items() if k.startswith(f"tables.{which}.")})
            for which in "zy"
        )
        side = {k[5:]: v for k, v in arrays.items() if k.startswith("side.")}
        words["fingerprint"] = fingerprint_of(side, z, y, spec_of(words, Path("x"))).hex()
    except Exception:  # what is wrong is meant to be found by the reader
        return


def retyped(kind: str, name: str, *, halved: bool = False) -> bytes:
    """The sound file with one tensor said to be of another type, and with half as many elements if `halved`."""
    data = save(*nano())
    end = 8 + int.from_bytes(data[:8], "little")
    described = json.loads(data[8:end])
    described[name]["dtype"] = kind
    if halved:
        described[name]["shape"][0] //= 2
    head = json.dumps(described).encode()
    return struct.pack("<Q", len(head)) + head + data[end:]


def weights() -> dict[str, bytes]:
    """Every hostile weights file."""
    found = {}
    for name, change in WEIGHTS.items():
        arrays, words = nano()
        change(arrays, words)
        if not name.startswith("fingerprint"):
            refit(arrays, words)
        save_file(arrays, FOLDER / "weights.tmp", metadata=words)
        found[name] = (FOLDER / "weights.tmp").read_bytes()
        (FOLDER / "weights.tmp").unlink()
    sound = save({"a": np.zeros(3, np.float32)})
    found |= {
        "nothing": b"",
        "header-of-2-to-the-63": struct.pack("<Q", 2**63) + b"{}",
        "header-of-100-megabytes": struct.pack("<Q", 100_000_000) + b"{}",
        "header-not-json": struct.pack("<Q", 8) + b"notjson!",
        "header-5000-deep": struct.pack("<Q", 5000) + b"[" * 5000,
        "tensors-beyond-the-end": sound[:-4],
        "tensors-that-overlap": sound.replace(b"[0,12]", b"[4,16]"),
        "no-metadata": sound,
        "floats-of-bfloat16": retyped("BF16", "g_a.last.bias"),
        "integers-of-64-bits": retyped("I64", "tables.y.low", halved=True),
        "pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
    }
    return found


def main() -> None:
    """Make what is missing and note how it is refused."""
    from test_hostile import refused  # which imports from here

    torch.set_num_threads(1)
    Image.new("RGB", (3, 2)).save(FOLDER / "picture.png")
    path = FOLDER / "sentences.json"
    sentences = json.loads(path.read_text()) if path.exists() else {}
    made = {f"{name}.feds": data for name, data in FILES.items()}
    made |= {f"alpha-{name}.feds": boxed(b"\1", box(b"ALPH", data)) for name, data in alphas().items()}
    made |= {f"{name}.safetensors": data for name, data in weights().items()}
    for name, data in made.items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(data)
        if name not in sentences:
            sentences[name] = refused(name)
    path.write_text(json.dumps(sentences, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

"""Coverage-guided fuzzing of everything that reads bytes which strangers may have written.

    pip install atheris
    python tests/fuzz/fuzz.py TARGET [RUNS] [SEED] [any option of libFuzzer]

    TARGET    what is fuzzed, with an attacker who gets every check right that is no secret
    file      the whole container: header, stream lengths, boxes; checks as the bytes give them
    sealed    the same, with the header check, the checks of the boxes and those of a PNG in one made to fit
    streams   the stream coder on tables and indexes that the input picks
    decode    the decoder with the network `tiny`: header sealed, fingerprint and symbol checksum made to fit
    boxes     ICC profile, Exif, XMP and alpha of a stranger on their way into PNG, JPEG, WebP, TIFF and AVIF
    weights   weights files, byte by byte
    tensors   weights files whose tensors and description are changed, and whose fingerprint is made to fit

Allowed is a child of `FedsError`, or success. Anything else ends the run and leaves the input in a file, and so does an
input that takes more than SECONDS or brings the process above MEGABYTES. Inputs start from the conformance files, one
of them with boxes of every kind, the hostile files, sound payloads of boxes, and for weights from `tiny`. The same
command gives the same run, up to the speed of the machine.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fedscodec"]):
    from fedscodec import codec, fileformat, images, registry
    from fedscodec.boxes import ALPHA, ICC, SRGB, SUMS, XMP, stream_sums
    from fedscodec.boxes import EXIF as EXIF_BOX
    from fedscodec.commands import report
    from fedscodec.entropy import rangecoder, tables
    from fedscodec.errors import FedsError
    from fedscodec.networks import metadata, weights

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

SECONDS, MEGABYTES = 2.0, 2048
MOST_PIXELS = 2**14  # for `decode`: what takes more is a question of the limit, not of the bytes

TESTS = Path(__file__).parent.parent
_FIXED = 16  # bytes before the width


def sealed(data: bytes, fingerprint: bytes | None = None) -> bytes:
    """`data` with a header check, and checks of boxes, that fit wherever the bytes can be read at all."""
    out = bytearray(data)
    if len(out) < _FIXED:
        return data
    out[:5] = b"FEDS\x01"
    out[6:14] = fingerprint or out[6:14]
    numbers, at = [], _FIXED
    for _ in range(3 + (out[5] & 0x3F)):
        value, at = _varint(out, at)
        numbers.append(value)
    at += 4
    out[at : at + 2] = zlib.crc32(out[:at]).to_bytes(4, "little")[:2]
    at += 2 + sum(numbers[2:])
    if out[5] & 0x80 and at < len(out):
        count, at = _varint(out, at)
        for _ in range(min(count, 64)):
            start = at
            length, at = _varint(out, at + 4)
            end = at + length
            if end + 4 > len(out):
                break
            out[at:end] = checked_png(out[at:end])
            out[end : end + 4] = zlib.crc32(out[at:end], zlib.crc32(out[start : start + 4])).to_bytes(4, "little")
            at = end + 4
    return bytes(out)


def checked_png(data: bytes | bytearray) -> bytes:
    """`data`, if it is a PNG with checks that fit as far as its chunks can be read; as it is otherwise."""
    out, at = bytearray(data), 8
    while out.startswith(b"\x89PNG\r\n\x1a\n") and at + 12 <= len(out):
        end = at + 8 + int.from_bytes(out[at : at + 4], "big")
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def _varint(data: bytearray, at: int) -> tuple[int, int]:
    value = 0
    for place in range(5):
        byte = data[at] if at < len(data) else 0
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    return value, at


def file(data: bytes) -> None:
    """The container as it is."""
    with suppress(FedsError):
        fileformat.read_header(data)
    found = fileformat.unpack(data)
    for _ in report.info_lines(found, len(data), []):
        pass
    if fileformat.unpack(fileformat.pack(found)) != found:
        raise AssertionError("what was read is not what is written")


def resealed(data: bytes) -> None:
    """The container with checks that fit."""
    file(sealed(data))


_TABLES = [tables.gaussian_tables(8, 0.11, 20.0), tables.gaussian_tables(8, 0.11, 20.0, skip=2)]


def streams(data: bytes) -> None:
    """The stream coder: a byte picks the tables, one the number of symbols, then indexes, then the stream."""
    if len(data) < 2:
        return
    chosen, count = _TABLES[data[0] & 1], data[1]
    indexes = np.frombuffer(data[2 : 2 + count], dtype=np.uint8) % 8
    stream = data[2 + count :]
    symbols = rangecoder.decode(stream, indexes, chosen)
    if rangecoder.encode(symbols, indexes, chosen) != stream:
        raise AssertionError("two streams mean the same")
    if len(stream) < rangecoder.least_bytes(len(indexes), chosen):
        raise AssertionError("a stream is shorter than the least")


class _Decoder:
    """The network `tiny`, and a checksum that always fits: whoever writes a file can compute it."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.model = codec.load_model("tiny", "cpu")
        fileformat.symbol_checksum = lambda header, _: header.checksum

    def __call__(self, data: bytes) -> None:
        found = fileformat.unpack(sealed(data, self.model.fingerprint), max_pixels=MOST_PIXELS)
        picture = codec.decode_file(found, self.model).picture
        size = (found.header.height, found.header.width)
        if picture.pixels.shape != (*size, 3) or (picture.alpha is not None and picture.alpha.shape != size):
            raise AssertionError("a picture of another size")


_KINDS, _BOXES = (".png", ".jpg", ".webp", ".tif", ".avif"), ("icc", "exif", "xmp", "alpha")
_WIDTH, _HEIGHT = 9, 7


def boxes(data: bytes) -> None:
    """What a stranger put into a box, written into a format that keeps it; the first byte picks which and where."""
    first, payload = data[0] if data else 0, data[1:]
    what = _BOXES[first // 5 % 4]
    travelling = {what: payload}
    if what == "alpha":
        plane = images.unpack_alpha(checked_png(payload), _WIDTH, _HEIGHT)
        if plane.shape != (_HEIGHT, _WIDTH) or plane.dtype != np.uint8:
            raise AssertionError("a plane of another size or kind")
        if not np.array_equal(images.unpack_alpha(images.pack_alpha(plane), _WIDTH, _HEIGHT), plane):
            raise AssertionError("what was read is not what is written")
        travelling = {what: plane}
    picture = images.Picture(np.zeros((_HEIGHT, _WIDTH, 3), np.uint8), **travelling)
    images.encode_picture(picture, _KINDS[first % 5], name="out")


class _Weights:
    """A weights file, read as a decoder reads it: its bytes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp()) / "fuzz.safetensors"

    def __call__(self, data: bytes) -> None:
        self.path.write_bytes(data)
        with suppress(FedsError):
            registry.describe(self.path)
        found = weights.read_weights(self.path)
        weights.float_transforms(found)
        weights.integer_side(found)


class _Tensors(_Weights):
    """A weights file whose tensors and description were changed and whose fingerprint was made to fit.

    Seven bytes a change: which tensor, what is done to it, a value, a place. What loads has to code a picture, and
    to read back what it has written.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(1)
        tiny = TESTS.parent / "weights" / "tiny.safetensors"
        self.arrays, self.words = load_file(tiny), metadata.read_metadata(tiny)
        self.names = sorted(self.arrays)
        self.picture = images.Picture(np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8))

    def __call__(self, data: bytes) -> None:
        arrays, words = dict(self.arrays), dict(self.words)
        for at in range(0, min(len(data), 70) - 6, 7):
            self._change(data[at : at + 7], arrays, words)
        words["fingerprint"] = self._fingerprint(arrays, words)
        save_file(arrays, self.path, metadata=words)
        model = codec.Model(weights.read_weights(self.path), name="fuzz", quality=1.0, device="cpu")
        encoded = codec.encode_picture(self.picture, model, 1.0)
        found = codec.read_symbols(fileformat.unpack(encoded.data), model)
        if not all(np.array_equal(a, b) for a, b in zip(encoded.symbols, found, strict=True)):
            raise AssertionError("symbols differ")
        codec.decode_file(fileformat.unpack(encoded.data), model)

    def _change(self, step: bytes, arrays: dict[str, np.ndarray], words: dict[str, str]) -> None:
        name, kind = self.names[step[0] % len(self.names)], step[1] % 8
        value, place = int.from_bytes(step[2:5], "little", signed=True), int.from_bytes(step[5:], "little")
        array = arrays.get(name)
        if kind == 0:
            described = json.loads(words["spec"])
            field = sorted(described)[step[0] % len(described)]
            described[field] = (value, place, [place], value / 7, None, str(value), -value, {})[step[5] % 8]
            words["spec"] = json.dumps(described)
        elif array is None or not array.size:
            return
        elif kind == 1:
            del arrays[name]
        elif kind == 2:
            arrays[name] = array.astype((np.float32, np.int64, np.uint8, np.float16, bool)[place % 5])
        elif kind == 3:
            arrays[name] = np.ascontiguousarray(array.reshape(-1)[: place % (array.size + 1)])
        elif kind == 4:
            arrays[name] = np.full_like(array, np.array(value).astype(array.dtype))
        elif kind == 5 and array.dtype.kind == "f":
            arrays[name] = np.full_like(array, (np.nan, np.inf, -np.inf, 6e4, 1e-7)[place % 5])
        else:
            changed = array.copy()
            changed.reshape(-1)[place % array.size] = np.array(value << (step[1] >> 3)).astype(array.dtype)
            arrays[name] = changed

    def _fingerprint(self, arrays: dict[str, np.ndarray], words: dict[str, str]) -> str:
        parts = [{k.removeprefix(p): v for k, v in arrays.items() if k.startswith(p)} for p in _INTEGER_PARTS]
        with suppress(FedsError):
            described = metadata.spec_of(words, self.path)
            made = [tables.Tables.from_arrays(part) for part in parts[1:]]
            return weights.fingerprint_of(parts[0], *made, described).hex()
        return words["fingerprint"]


_INTEGER_PARTS = ("side.", "tables.z.", "tables.y.")

TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "file": lambda: file,
    "sealed": lambda: resealed,
    "streams": lambda: streams,
    "decode": _Decoder,
    "boxes": lambda: boxes,
    "weights": _Weights,
    "tensors": _Tensors,
}


def seeds(target: str, folder: Path) -> None:
    """Inputs to start from."""
    if target == "tensors":
        return
    found = sorted((TESTS / "conformance").rglob("*.feds")) + sorted((TESTS / "hostile").glob("*.feds"))
    if target == "weights":
        found = [TESTS.parent / "weights" / "tiny.safetensors", *(TESTS / "hostile").glob("*.safetensors")]
    if target == "boxes":
        found = sorted((TESTS / "hostile").glob("box-*"))
    for path in found:
        (folder / path.name).write_bytes(path.read_bytes())
    if target == "boxes":
        for number, (what, payload) in enumerate(payloads(_WIDTH, _HEIGHT)):
            for kind in range(len(_KINDS)):
                first = 5 * _BOXES.index(what) + kind
                (folder / f"payload-{number}-{kind}").write_bytes(bytes([first]) + payload)
    if target in ("file", "sealed", "decode"):
        for number, data in enumerate(files_with_boxes()):
            (folder / f"with-boxes-{number}").write_bytes(data)


def payloads(width: int, height: int) -> list[tuple[str, bytes]]:
    """Sound payloads of boxes; the alpha once as PNG and once as WebP, each of the kind the codec writes."""
    plane = np.add.outer(np.arange(height), 5 * np.arange(width)).astype(np.uint8)
    found = [("icc", images.srgb_profile()), ("exif", EXIF), ("xmp", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")]
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        buffer = io.BytesIO()
        Image.fromarray(plane).save(buffer, kind, **options)
        images.unpack_alpha(buffer.getvalue(), width, height)
        found.append(("alpha", buffer.getvalue()))
    return found


def files_with_boxes() -> list[bytes]:
    """A small file of `tiny` with each kind of alpha, with sRGB, and with boxes that are deflated, and with all."""
    file = fileformat.unpack((TESTS / "conformance" / "v1" / "photo-64x64-q1.feds").read_bytes())
    (_, icc), (_, exif), _, (_, png), (_, webp) = payloads(file.header.width, file.header.height)
    sets: list[dict[bytes, bytes]] = [
        {ALPHA: png},
        {ALPHA: webp},
        {SRGB: b""},
        {ICC: icc},
        {EXIF_BOX: exif + bytes(200), XMP: 9 * b"<x:xmpmeta/>"},
        {EXIF_BOX: exif + bytes(200), XMP: 9 * b"<x:xmpmeta/>", ALPHA: png, SRGB: b"", SUMS: stream_sums(file.streams)},
    ]
    return [fileformat.pack(fileformat.FedsFile(file.header, file.streams, boxes)) for boxes in sets]


EXIF = b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\5\0\0\0\x1a\0\0\0\0\0\0\0feds\0"  # the maker, and nothing else


def main(target: str, runs: str = "100000", seed: str = "1", *options: str) -> None:
    """Fuzz a target; libFuzzer ends the process."""
    run = TARGETS[target]()

    def once(data: bytes) -> None:
        begin = time.process_time()
        try:
            with suppress(FedsError):
                run(data)
            if (seconds := time.process_time() - begin) > SECONDS:
                raise AssertionError(f"an input took {seconds:.1f} s of the processor")
        except BaseException:
            Path(f"crash-{target}-{zlib.crc32(data):08x}").write_bytes(data)
            raise

    folder = Path(tempfile.mkdtemp())
    seeds(target, folder)
    longest = 200_000 if target == "weights" else 4096
    atheris.Setup(
        [
            sys.argv[0], f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", f"-rss_limit_mb={MEGABYTES}",
            "-timeout=10", "-print_final_stats=1", *options, str(folder),
        ],
        once,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    main(*sys.argv[1:])

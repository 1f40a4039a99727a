"""Targets that read .feds files: the container, the streams in it, the whole decoder, what stands in boxes."""

from __future__ import annotations

import zlib
from contextlib import suppress

import numpy as np
import torch

from fedscodec import fileformat, images
from fedscodec.codec.decoding import decode_file, decode_salvaged
from fedscodec.codec.model import load_model
from fedscodec.commands import printing
from fedscodec.entropy import rangecoder, tables
from fedscodec.errors import FedsError

MOST_PIXELS = 2**14  # for the decoder: what takes more is a question of the limit, not of the bytes
KINDS, BOXES = (".png", ".jpg", ".webp", ".tif", ".avif"), ("icc", "exif", "xmp", "alpha")
WIDTH, HEIGHT = 9, 7  # of the pictures that boxes stand beside
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
    """The container as it is; and what is left of it, which is all where it is sound."""
    with suppress(FedsError):
        fileformat.read_header(data)
    with suppress(FedsError):
        fileformat.salvage(data)
    found = fileformat.unpack(data)
    for _ in printing.info_lines(found, len(data), []):
        pass
    if fileformat.unpack(fileformat.pack(found)) != found:
        raise AssertionError("what was read is not what is written")
    left = fileformat.salvage(data)
    if left.file != found or left.faults:
        raise AssertionError("a sound file is not salvaged whole")


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


class Decoder:
    """A network, and a checksum that always fits: whoever writes a file can compute it.

    What is not sound is tried with --best-effort too.
    """

    def __init__(self, network: str, backend: str = "torch") -> None:
        torch.set_num_threads(1)
        self.model = load_model(network, "cpu", backend)
        fileformat.symbol_checksum = lambda header, _: header.checksum

    def __call__(self, data: bytes) -> None:
        """Decode a file whose checks fit."""
        data = sealed(data, self.model.fingerprint)
        try:
            found = fileformat.unpack(data, max_pixels=MOST_PIXELS)
            self._require_size(decode_file(found, self.model).picture, found)
        except FedsError:
            left = fileformat.salvage(data, max_pixels=MOST_PIXELS)
            self._require_size(decode_salvaged(left, self.model).picture, left.file)

    def _require_size(self, picture: images.Picture, found: fileformat.FedsFile) -> None:
        size = (found.header.height, found.header.width)
        if picture.pixels.shape != (*size, 3) or (picture.alpha is not None and picture.alpha.shape != size):
            raise AssertionError("a picture of another size")


def boxes(data: bytes) -> None:
    """What a stranger put into a box, written into a format that keeps it; the first byte picks which and where."""
    first, payload = data[0] if data else 0, data[1:]
    what = BOXES[first // 5 % 4]
    travelling = {what: payload}
    if what == "alpha":
        plane = images.unpack_alpha(checked_png(payload), WIDTH, HEIGHT)
        if plane.shape != (HEIGHT, WIDTH) or plane.dtype != np.uint8:
            raise AssertionError("a plane of another size or kind")
        if not np.array_equal(images.unpack_alpha(images.pack_alpha(plane), WIDTH, HEIGHT), plane):
            raise AssertionError("what was read is not what is written")
        travelling = {what: plane}
    picture = images.Picture(np.zeros((HEIGHT, WIDTH, 3), np.uint8), **travelling)
    images.picture_bytes(picture, KINDS[first % 5], name="out")

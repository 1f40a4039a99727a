"""Inputs that fuzzing starts from: what is sound, and what is known to be hostile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from containers import BOXES, HEIGHT, KINDS, WIDTH
from PIL import Image
from safetensors_edits import MOST_STEPS, STEP
from weights_files import SMALLEST, write_smallest

from fedscodec import fileformat, images
from fedscodec.boxes import ALPHA, ICC, SRGB, STREAM_CHECKS, XMP, stream_checks_of
from fedscodec.boxes import EXIF as EXIF_BOX

TESTS = Path(__file__).parents[2] / "tests"
EXIF = b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\5\0\0\0\x1a\0\0\0\0\0\0\0feds\0"  # the maker, and nothing else


def seeds(target: str, folder: Path) -> None:
    """Put the inputs of a target into a folder."""
    for name, data in inputs(target, folder):
        (folder / name).write_bytes(data)


def inputs(target: str, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes."""
    if target == "tensors":
        yield from _scripts()
    elif target == "weights":
        files = [*write_smallest(folder), *(TESTS / "hostile").glob("*.safetensors")]
        yield from ((path.name, path.read_bytes()) for path in files)
    elif target == "boxes":
        yield from ((path.name, path.read_bytes()) for path in sorted((TESTS / "hostile").glob("box-*")))
        for number, (what, payload) in enumerate(payloads(WIDTH, HEIGHT)):
            for kind in range(len(KINDS)):
                yield f"payload-{number}-{kind}", bytes([5 * BOXES.index(what) + kind]) + payload
    else:
        names = "mini-light-*.feds" if target in ("light", "onnx") else "*.feds"
        files = sorted((TESTS / "conformance").rglob(names)) + sorted((TESTS / "hostile").glob("*.feds"))
        yield from ((path.name, path.read_bytes()) for path in files)
        if target in ("file", "sealed", "decode"):
            yield from ((f"with-boxes-{number}", data) for number, data in enumerate(files_with_boxes()))


def _scripts() -> Iterator[tuple[str, bytes]]:
    # Of every network no change at all, and some of every length.
    random = np.random.default_rng(1)
    for number in range(100 * len(SMALLEST)):
        network, round_ = number % len(SMALLEST), number // len(SMALLEST)
        steps = round_ % (MOST_STEPS + 1)
        yield f"script-{number}", bytes([network, round_ >> 1 & 7]) + random.bytes(STEP * steps)


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
        {
            EXIF_BOX: exif + bytes(200),
            XMP: 9 * b"<x:xmpmeta/>",
            ALPHA: png,
            SRGB: b"",
            STREAM_CHECKS: stream_checks_of(file.streams),
        },
    ]  # fmt: skip
    return [fileformat.pack(fileformat.FedsFile(file.header, file.streams, boxes)) for boxes in sets]

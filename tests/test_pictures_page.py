"""docs/pictures.md: every sentence that it quotes is one that somebody is told, by a file that is made here."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from made import SMOOTH, jpeg, planar, png, saved, segment, tiff
from PIL import Image

from fedscodec.codec.exact import worse_than_flat
from fedscodec.errors import FedsError
from fedscodec.images import Picture, from_array, not_kept, read_picture

PAGE = (Path(__file__).parent.parent / "docs" / "pictures.md").read_text(encoding="utf-8")
QUOTED = [" ".join(quote.split()) for quote in re.findall(r"`([^`]+)`", PAGE)]
SENTENCES = sorted({quote for quote in QUOTED if len(quote.split()) > 3 and not quote.startswith("pip ")})
DEEP = np.linspace(0, 65535, 3 * 60).reshape(4, 15, 3).astype(np.uint16)


def told(data: bytes) -> tuple[str, ...]:
    """What is told of a file, or why it is refused."""
    try:
        return read_picture(data, name="x").warnings
    except FedsError as error:
        return (str(error),)


def frames() -> bytes:
    pictures = [Image.new("L", (4, 4), level) for level in (10, 20, 30)]
    return saved(pictures[0], "GIF", save_all=True, append_images=pictures[1:])


@pytest.fixture(scope="module")
def all_told() -> list[str]:
    checks = from_array((np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8))
    found = [
        told(png(DEEP)),
        told(png(SMOOTH, (b"gAMA", struct.pack(">I", 100_000)))),
        told(png(DEEP, (b"cICP", bytes([9, 16, 0, 1])))),
        told(jpeg(segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0"))),
        told(frames()),
        told(png(SMOOTH, (b"iCCP", b"x\0\0no zlib"))),
        told(png(SMOOTH, (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_600_000))))),
        told(png(SMOOTH, (b"eXIf", b"no Exif"))),
        told(png(SMOOTH, (b"bKGD", bytes(6)), (b"tIME", bytes(7)))),
        told(jpeg() + b"a film of somebody's phone"),
        told(png(SMOOTH, end=False)),
        told(tiff(bytes(96), 2, 4, {258: (32, 32, 32), 262: (2,), 339: (3, 3, 3)})),
        told(planar(SMOOTH[:, :, :2], {338: (2,)}, packed=True)),
        not_kept(Picture(SMOOTH, alpha=SMOOTH[:, :, 0]), "jpg"),
        (worse_than_flat(checks, Picture(255 - checks.pixels)),),
    ]
    return [sentence for sentences in found for sentence in sentences]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_message_on_the_page_is_shown_by_feds(sentence: str, all_told: list[str]) -> None:
    without_figures = re.escape(re.sub(r"[\d.]+ dB", "FIGURE", sentence)).replace("FIGURE", r"[\d.]+ dB")
    assert any(re.search(without_figures, one) for one in all_told), all_told


def test_the_page_quotes_something() -> None:
    assert len(SENTENCES) >= 13

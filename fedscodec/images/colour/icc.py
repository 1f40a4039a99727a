"""ICC profiles as tables of tags: read untrusted ones, change their curves, and make new ones for primaries.

This module does only what needs no colour management: it checks whether a profile fits a picture, reads curves (curv
and para), and writes new profiles of a matrix and a curve. LittleCMS does the transforms, see `profiles`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from .curves import srgb_of_light
from .encodings import OF_SRGB, Primaries

Tags = dict[bytes, bytes]

_HEADER, _ENTRY = 128, 12
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")  # of a device or a space, and not links or names of colours
_D50 = (0.96420, 1.0, 0.82491)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_RGB_CURVES, _GREY_CURVE = (b"rTRC", b"gTRC", b"bTRC"), b"kTRC"
_LUTS = (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")
_COARSE = 3.0  # levels of sRGB between two of 8 bits, from where on shadows show it
_CURVE_OF_SRGB = b"para" + struct.pack(
    ">4xHxx5i", 3, *(round(65536 * v) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)


def space_of(icc: bytes) -> str:
    """`RGB`, `GRAY`, `CMYK`, ... from the header; empty if it cannot be a profile."""
    if len(icc) < _HEADER + 4 or icc[36:40] != b"acsp" or tags_of(icc) is None:
        return ""
    return icc[16:20].decode("latin-1").strip() if icc[12:16] in _CLASSES else "link"


def is_for_colour(icc: bytes) -> bool:
    """Whether a profile is for red, green and blue, and so needs a colour file."""
    return space_of(icc) == "RGB"


def tags_of(icc: bytes) -> Tags | None:
    """The tags of a profile; None if they are not all inside it, or together longer (shared bytes count once)."""
    if len(icc) < _HEADER + 4:
        return None
    (count,) = struct.unpack_from(">I", icc, _HEADER)
    if count > 200 or _HEADER + 4 + _ENTRY * count > len(icc):
        return None
    tags: Tags = {}
    bodies: dict[tuple[int, int], bytes] = {}  # tags may share one
    left = len(icc)
    for number in range(count):
        name, start, size = struct.unpack_from(">4sII", icc, _HEADER + 4 + _ENTRY * number)
        if (start, size) not in bodies:
            left -= size
            if start + size > len(icc) or left < 0:
                return None
            bodies[start, size] = icc[start : start + size]
        tags[name] = bodies[start, size]
    return tags


def curves_of(icc: bytes) -> tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], ...] | None:
    """Curves from samples to light, for red, green and blue or for grey; None for other kinds of profile."""
    tags = tags_of(icc) or {}
    names = (_GREY_CURVE,) if _GREY_CURVE in tags else _RGB_CURVES
    if any(name not in tags for name in names) or any(name in tags for name in _LUTS):
        return None
    found = [_curve(tags[name]) for name in names]
    return None if any(curve is None for curve in found) else tuple(curve for curve in found if curve)


def is_coarse(icc: bytes) -> bool:
    """Whether 8 bits with the curve of a profile have visible steps in the shadows, as linear light has."""
    curves = curves_of(icc)
    samples = np.linspace(0, 1, 256)
    return curves is not None and any(
        float(np.diff(255 * srgb_of_light(curve(samples))).max()) > _COARSE for curve in curves
    )


def with_curve_of_srgb(icc: bytes) -> bytes:
    """A profile with its curve replaced by that of sRGB."""
    tags = tags_of(icc) or {}
    names = [name for name in (*_RGB_CURVES, _GREY_CURVE) if name in tags]
    return _packed(icc[:_HEADER], tags | dict.fromkeys(names, _CURVE_OF_SRGB))


def colour_of_grey(icc: bytes) -> bytes | None:
    """A colour profile that shows grey like a given grey profile; None if that has no curve."""
    tags = tags_of(icc) or {}
    if curves_of(icc) is None or _GREY_CURVE not in tags:
        return None
    kept = {name: body for name, body in tags.items() if name != _GREY_CURVE}
    made = kept | _colorants(OF_SRGB) | dict.fromkeys(_RGB_CURVES, tags[_GREY_CURVE])
    return _packed(icc[:16] + b"RGB " + icc[20:_HEADER], made)


def profile_of(primaries: Primaries, name: str, gamma: float | None = None) -> bytes:
    """A profile (version 4.3) for primaries with the sRGB curve or an exponent; always the same bytes."""
    curve = b"para" + struct.pack(">4xHxxi", 0, round(65536 / gamma)) if gamma else _CURVE_OF_SRGB
    header = struct.pack(">4x4sI4s4s4s", b"", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *map(_fixed, _D50))
    tags = {b"desc": _words(name), b"cprt": _words("No copyright, use freely"), b"wtpt": _xyz(_D50)}
    tags |= _colorants(primaries) | dict.fromkeys(_RGB_CURVES, curve)
    return _packed(header.ljust(_HEADER, b"\0"), tags)


def _curve(tag: bytes) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    kind = tag[:4]
    if kind == b"curv" and len(tag) >= 12:
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return lambda samples: samples
        if len(tag) < 12 + 2 * count:
            return None
        table = np.frombuffer(tag, ">u2", count, 12)
        if count == 1:
            gamma = int(table[0]) / 256
            return lambda samples: np.power(samples, gamma)
        heights, places = table / 65535, np.linspace(0, 1, count)
        return lambda samples: np.interp(samples, places, heights)
    if kind == b"para" and len(tag) >= 16:
        number = struct.unpack_from(">H", tag, 8)[0]
        count = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}.get(number, 0)
        if count and len(tag) >= 12 + 4 * count:
            return _parametric(number, [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)])
    return None


def _parametric(number: int, values: list[float]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    g, a, b, c, d, e, f = (*values, *[0.0] * (7 - len(values)))
    if number == 0:
        a, d = 1.0, 0.0
    elif number in (1, 2):
        if a == 0:
            return None
        d, e, f, c = -b / a, c, c, 0.0
    return lambda x: np.clip(np.where(x >= d, np.power(np.maximum(a * x + b, 0), g) + e, c * x + f), 0, 1)


def _colorants(primaries: Primaries) -> Tags:
    matrix = _to_d50(primaries)
    return {name: _xyz(matrix[:, column]) for column, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}


def _to_d50(primaries: Primaries) -> NDArray[np.float64]:
    """The matrix from light of primaries to XYZ under D50: columns red, green, blue."""
    white, *corners = (
        np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(primaries[::2], primaries[1::2], strict=True)
    )
    columns = np.stack(corners, axis=1)
    columns = columns * np.linalg.solve(columns, white)
    scale = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ columns)


def _packed(header: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    at, table, bodies, places = _HEADER + 4 + _ENTRY * len(tags), bytearray(), bytearray(), dict[bytes, int]()
    for name, body in tags.items():
        if body not in places:
            places[body] = at + len(bodies)
            bodies += body.ljust(-(-len(body) // 4) * 4, b"\0")
        table += struct.pack(">4sII", name, places[body], len(body))
    size = struct.pack(">I", at + len(bodies))
    clear = header[4:84] + bytes(16) + header[100:_HEADER]  # no identity (an MD5) of what it was
    return b"".join((size, clear, struct.pack(">I", len(tags)), table, bodies))


def _words(text: str) -> bytes:
    return b"mluc" + struct.pack(">4xII4sII", 1, 12, b"enUS", 2 * len(text), 28) + text.encode("utf-16-be")


def _xyz(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return b"XYZ " + struct.pack(">4x3i", *map(_fixed, values))


def _fixed(value: float) -> int:
    return round(65536 * float(value))

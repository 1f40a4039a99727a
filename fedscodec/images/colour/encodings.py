"""The meaning of colours without a profile: gAMA, cHRM and sRGB of PNG, and code points of cICP and nclx.

An `Encoding` is a curve and primaries. The curve is undone while samples still have their full depth, and the result is
coded with the sRGB curve; other primaries are kept in a profile that is written for them. Code points are those of
ITU-T H.273; the curves of cameras and television (BT.709, BT.601, BT.2020) are shown as sRGB, as browsers do.
"""

from __future__ import annotations

from dataclasses import dataclass

SRGB, GAMMA, LINEAR, PQ, HLG, UNKNOWN = "srgb", "gamma", "linear", "pq", "hlg", "unknown"

Primaries = tuple[float, float, float, float, float, float, float, float]
"""Chromaticities x and y of white, red, green and blue."""

_D65 = (0.3127, 0.3290)
OF_SRGB: Primaries = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES: dict[int, tuple[str, Primaries]] = {
    1: ("sRGB", OF_SRGB),
    4: ("BT.470 M", (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.601, 625 lines", (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("BT.601, 525 lines", (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    7: ("SMPTE 240M", (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)),
    8: ("film", (0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    12: ("Display P3", (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)),
    22: ("EBU 3213", (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077)),
}
_CURVES = {
    4: (GAMMA, 1 / 2.2),
    5: (GAMMA, 1 / 2.8),
    8: (LINEAR, 1.0),
    16: (PQ, 1.0),
    17: (GAMMA, 1 / 2.6),
    18: (HLG, 1.0),
}
_AS_SRGB = (1, 2, 6, 7, 11, 12, 13, 14, 15)
_SAME_GAMMA = 0.05  # as libpng has it: a twentieth more or less is the same curve
_SAME_PLACE = 0.002  # of a chromaticity
_LOWEST, _HIGHEST = 1 / 2.8, 1 / 1.7  # gammas by which 8 bits are enough


@dataclass(frozen=True)
class Encoding:
    """A curve (and the exponent of a file for gamma: sample = light ** gamma), and primaries, None for sRGB's.

    `full`: samples use their whole range instead of 16/255 to 235/255 of it. `name` is for messages.
    """

    curve: str = SRGB
    gamma: float = 1.0
    primaries: Primaries | None = None
    name: str = "sRGB"
    full: bool = True

    @property
    def is_hdr(self) -> bool:
        """Whether it has light that an 8-bit picture cannot show."""
        return self.curve in (PQ, HLG)

    @property
    def is_as_coded(self) -> bool:
        """Whether samples can stay unchanged; if a profile is written for primaries, it can also hold a gamma."""
        kept = self.primaries is not None and self.curve == GAMMA and _LOWEST <= self.gamma <= _HIGHEST
        return (kept or self.curve in (SRGB, UNKNOWN)) and self.full


BY_SRGB = Encoding()


def by_code_points(primaries: int, transfer: int, *, full: bool = True) -> Encoding | None:
    """The encoding for two code points; None if it is sRGB or unspecified."""
    called, places = _PRIMARIES.get(primaries, ("sRGB", OF_SRGB))
    curve, gamma = (SRGB, 1.0) if transfer in _AS_SRGB else _CURVES.get(transfer, (UNKNOWN, 1.0))
    if primaries not in (*_PRIMARIES, 2):
        curve, called = UNKNOWN, f"primaries {primaries}"
    name = {PQ: f"{called}, PQ", HLG: f"{called}, HLG", LINEAR: f"{called}, linear light"}.get(curve, called)
    return _settled(curve, gamma, places, name, full)


def by_gamma(gamma: float | None, places: tuple[float, ...] | None) -> Encoding:
    """The encoding of a gAMA chunk, a cHRM chunk, or both."""
    sound = places is not None and len(places) == 8 and all(0 < y < 1 for y in places[1::2]) and max(places) <= 1
    kept: Primaries = places if sound else OF_SRGB  # type: ignore[assignment]
    curve = SRGB if gamma is None else GAMMA
    name = "linear light" if gamma == 1 else "sRGB" if gamma is None else f"gamma {1 / gamma:.3g}"
    same = all(abs(a - b) <= _SAME_PLACE for a, b in zip(kept, OF_SRGB, strict=True))
    return _settled(curve, gamma or 1.0, kept, name if same else f"{name}, primaries of its own", True) or BY_SRGB


def _settled(curve: str, gamma: float, places: Primaries, name: str, full: bool) -> Encoding | None:
    same = all(abs(a - b) <= _SAME_PLACE for a, b in zip(places, OF_SRGB, strict=True))
    if same and curve == GAMMA and abs(gamma * 2.2 - 1) <= _SAME_GAMMA:
        curve, gamma = SRGB, 1.0
    if curve == GAMMA and gamma == 1:
        curve = LINEAR
    found = Encoding(curve, gamma, None if same else places, name, full)
    return None if found.is_as_coded and found.primaries is None and curve != UNKNOWN else found

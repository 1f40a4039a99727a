"""Choose how the colours of a picture are converted: the curve for its samples, and the profile of the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..account import Account
from ..containers.contents import COLOUR, ICC, Contents
from ..metadata.exif import SRGB as SRGB_IN_EXIF
from ..metadata.exif import UNCALIBRATED
from .curves import Curve, srgb_of_light, to_srgb
from .encodings import GAMMA, UNKNOWN, Encoding
from .icc import curves_of, is_coarse, profile_of, space_of, with_curve_of_srgb
from .profiles import is_sound

_SPACES = {"GRAY": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}


class Choice:
    """How to convert the colours of a picture of a kind (GRAY, RGB, CMYK or LAB) with this many bits a sample.

    `curves` apply to the samples on their way to 8 bits, None for no change; `icc` is the profile of the result, `inks`
    that of CMYK; `colour_space` is the value for Exif, None for no change. Also completes the account.
    """

    def __init__(self, contents: Contents, kind: str, bits: int) -> None:
        self._account, self._kind = contents.account, kind
        self.icc = self.inks = None if contents.icc is None else _sound_profile(contents.icc, kind, self._account)
        self.curves: Sequence[Curve] | None = None
        self.colour_space: int | None = None
        if kind in ("CMYK", "LAB"):
            self._settle_conversion()
        elif self.icc is not None:
            self._settle_profile(self.icc, bits)
        elif contents.encoding is not None:
            self._settle_encoding(contents.encoding)

    def _settle_conversion(self) -> None:
        if self.icc is not None:
            self._account.kept(ICC)  # it served its purpose
        self.icc, self.colour_space = None, SRGB_IN_EXIF

    def _settle_profile(self, icc: bytes, bits: int) -> None:
        if bits <= 8 or not is_coarse(icc):
            self._account.kept(ICC)
            return
        self.curves, self.icc = [_coded(curve) for curve in curves_of(icc) or ()], with_curve_of_srgb(icc)
        sentence = "Linear light was coded anew by the curve of sRGB, which the ICC profile now says."
        self._account.became(ICC, sentence)

    def _settle_encoding(self, encoding: Encoding) -> None:
        self.curves = None if encoding.is_as_coded else [to_srgb(encoding)]
        profile = encoding.primaries is not None and self._kind == "RGB"
        if encoding.primaries is not None and profile:
            gamma = encoding.gamma if encoding.is_as_coded and encoding.curve == GAMMA else None
            self.icc = profile_of(encoding.primaries, encoding.name, gamma)
        self.colour_space = UNCALIBRATED if profile else SRGB_IN_EXIF
        with_profile = " An ICC profile was written for its primaries." if profile else ""
        if encoding.is_hdr:
            sentence = f"HDR ({encoding.name}) was not kept: it was brought into the range of sRGB.{with_profile}"
        elif encoding.curve == UNKNOWN:
            sentence = f"The colour space ({encoding.name}) is not known, and was taken for sRGB."
        elif not encoding.is_as_coded:
            sentence = f"Colours were converted from {encoding.name} to sRGB.{with_profile}".replace(
                "to sRGB.", "to the curve of sRGB." if profile else "to sRGB."
            )
        else:
            sentence = f"An ICC profile was written for the colours ({encoding.name})." if profile else ""
        if sentence:
            self._account.became(COLOUR, sentence)
        else:
            self._account.kept(COLOUR)


def _sound_profile(icc: bytes, kind: str, account: Account) -> bytes | None:
    """The profile, if it can be read and fits the kind; else None, and a message."""
    space = space_of(icc)
    if not is_sound(icc):
        account.became(ICC, "The ICC profile was damaged and was not kept.")
        return None
    if space != _SPACES[kind]:
        picture = {"GRAY": "grey", "RGB": "colour"}.get(kind, kind)
        account.became(ICC, f"The ICC profile is for {space}, and was not kept with a picture of {picture}.")
        return None
    return icc


def _coded(curve: Curve) -> Curve:
    def anew(samples: NDArray[np.float64]) -> NDArray[np.float64]:
        return srgb_of_light(curve(samples))

    return anew

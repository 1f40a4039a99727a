"""What becomes of the colours of one picture: the curve its samples are put through, the profile it leaves with."""

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
    """The profile (`icc`, and `inks` of CMYK), the curves, and what Exif should say of colours after them, if anything.

    `curves` is asked once, with the depth of samples, before `settle` is called and the others are read.
    """

    def __init__(self, contents: Contents, kind: str, account: Account) -> None:
        self._contents, self._kind, self._account = contents, kind, account
        self.icc = self.inks = None if contents.icc is None else _sound_profile(contents.icc, kind, account)
        self._encoding = contents.encoding if self.icc is None and kind in ("GRAY", "RGB") else None
        self._coded_anew = False
        self.colour_space: int | None = None

    def curves(self, bits: int) -> Sequence[Curve] | None:
        """What colours of so many bits are put through on their way to 8; None for nothing."""
        if self._encoding is not None:
            return None if self._encoding.is_as_coded else [to_srgb(self._encoding)]
        if self.icc is None or bits <= 8 or self._kind not in ("GRAY", "RGB") or not is_coarse(self.icc):
            return None
        self._coded_anew = True
        return [_coded(curve) for curve in curves_of(self.icc) or ()]

    def settle(self) -> None:
        """Say what became of the colours."""
        if self._kind in ("CMYK", "LAB"):
            if self.icc is not None:
                self._account.kept(ICC)  # it served its purpose
            self.icc, self.colour_space = None, SRGB_IN_EXIF
        elif self._coded_anew and self.icc is not None:
            self.icc = with_curve_of_srgb(self.icc)
            self._account.became(
                ICC, "Linear light was coded anew by the curve of sRGB, which the ICC profile now says."
            )
        elif self.icc is not None:
            self._account.kept(ICC)
        if self._encoding is not None:
            self._settle_encoding(self._encoding)

    def _settle_encoding(self, encoding: Encoding) -> None:
        profile = encoding.primaries is not None and self._kind == "RGB"
        if encoding.primaries is not None and profile:
            gamma = encoding.gamma if encoding.is_as_coded and encoding.curve == GAMMA else None
            self.icc = profile_of(encoding.primaries, encoding.name, gamma)
        self.colour_space = UNCALIBRATED if profile else SRGB_IN_EXIF
        with_profile = " An ICC profile was written for its primaries." if profile else ""
        if encoding.is_hdr:
            told = f"HDR ({encoding.name}) was not kept: it was brought into the range of sRGB.{with_profile}"
        elif encoding.curve == UNKNOWN:
            told = f"The colour space ({encoding.name}) is not known, and was taken for sRGB."
        elif not encoding.is_as_coded:
            told = f"Colours were converted from {encoding.name} to sRGB.{with_profile}".replace(
                "to sRGB.", "to the curve of sRGB." if profile else "to sRGB."
            )
        else:
            told = f"An ICC profile was written for the colours ({encoding.name})." if profile else ""
        if told:
            self._account.became(COLOUR, told)
        else:
            self._account.kept(COLOUR)


def chosen(contents: Contents, kind: str, account: Account) -> Choice:
    """The choice for a picture whose samples are of a kind: GRAY, RGB, CMYK or LAB."""
    return Choice(contents, kind, account)


def _sound_profile(icc: bytes, kind: str, account: Account) -> bytes | None:
    """A profile that can be read and fits the kind; None, and told, for others."""
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

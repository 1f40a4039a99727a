"""Which files of a folder are pictures: those that Pillow reads with its registered plugins."""

from __future__ import annotations

from PIL import Image

from .identifying import NEVER_READ, register_heif

_NO_PICTURES = (*NEVER_READ, "FEDS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF")  # Pillow knows the names, and reads none
_BY_ANOTHER = (".mpo",)  # which Pillow opens as JPEG


def picture_suffixes() -> frozenset[str]:
    """The suffixes, in lower case, that count as pictures in a folder.

    A file that is named directly may have any suffix.
    """
    Image.init()
    register_heif()
    known = Image.registered_extensions().items()
    found = (suffix for suffix, kind in known if kind in Image.OPEN and kind not in _NO_PICTURES)
    return frozenset((*found, *_BY_ANOTHER))

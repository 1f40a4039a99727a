"""Read and write pictures with Pillow, numpy and torch (imported only when needed); no codec.

reading       what Pillow opens → Picture         account     what a picture had, and what is told of it
writing       Picture → files, Pillow images      samples     8 bits out of any depth
tensors       arrays → Picture ↔ float tensors    resizing    pictures in other sizes
containers/   which reader takes a file, and what a file has beside its pixels, a module a format
metadata/     Exif and XMP, and what becomes them
colour/       curves, primaries and profiles      alpha/      transparency
thumbnails    the preview as the bytes of a box   planes      alpha, or all pixels, as those of another
window        a part of a picture
"""

from .alpha.transparency import on_white
from .colour.icc import is_for_colour
from .colour.profiles import means_srgb, srgb_profile, stripped
from .containers.kinds import picture_suffixes
from .containers.whole import size_if_whole
from .picture import Picture
from .planes import pack_alpha, pack_pixels, unpack_alpha, unpack_pixels
from .reading import Beside, expected_pixels, read_beside, read_picture
from .resizing import resize, resized
from .tensors import crop, from_array, from_tensor, pad, pixels_of, region, to_tensor
from .thumbnails import pack_thumbnail, unpack_thumbnail
from .window import Window
from .writing import LOSSY_SUFFIXES, WRITABLE_SUFFIXES, not_kept, picture_bytes, to_pil

__all__ = [
    "LOSSY_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Beside",
    "Picture",
    "Window",
    "crop",
    "picture_bytes",
    "expected_pixels",
    "from_array",
    "from_tensor",
    "is_for_colour",
    "means_srgb",
    "not_kept",
    "on_white",
    "pack_alpha",
    "pack_pixels",
    "pack_thumbnail",
    "pad",
    "picture_suffixes",
    "pixels_of",
    "read_beside",
    "read_picture",
    "region",
    "resize",
    "resized",
    "size_if_whole",
    "srgb_profile",
    "stripped",
    "to_pil",
    "to_tensor",
    "unpack_alpha",
    "unpack_pixels",
    "unpack_thumbnail",
]

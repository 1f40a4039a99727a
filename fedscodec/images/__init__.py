"""Pictures on their way in and out: Pillow, numpy and torch (imported only where it is needed), and no codec.

reading    what Pillow opens → Picture        metadata   Exif, XMP and orientation
writing    Picture → files, Pillow images     picture    what a Picture is
tensors    Picture ↔ float tensors            planes     alpha as the bytes of a box, and back
                                               thumbnails the same for the preview
"""

from .picture import Picture, from_array
from .planes import pack_alpha, unpack_alpha
from .profiles import means_srgb, srgb_profile, stripped
from .reading import PICTURE_SUFFIXES, expected_pixels, read_picture
from .resizing import resize
from .tensors import crop, from_tensor, pad, region, to_tensor
from .thumbnails import pack_thumbnail, unpack_thumbnail
from .writing import WRITABLE_SUFFIXES, encode_picture, not_kept, to_pil, write_picture

__all__ = [
    "PICTURE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Picture",
    "crop",
    "encode_picture",
    "expected_pixels",
    "from_array",
    "from_tensor",
    "means_srgb",
    "not_kept",
    "pack_alpha",
    "pack_thumbnail",
    "pad",
    "read_picture",
    "region",
    "resize",
    "srgb_profile",
    "stripped",
    "to_pil",
    "to_tensor",
    "unpack_alpha",
    "unpack_thumbnail",
    "write_picture",
]

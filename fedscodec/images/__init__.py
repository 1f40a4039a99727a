"""Pictures on their way in and out: Pillow, numpy and torch (imported only where it is needed), and no codec.

reading    what Pillow opens → Picture        metadata   Exif, XMP and orientation
writing    Picture → files, Pillow images     picture    what a Picture is
tensors    Picture ↔ float tensors
"""

from .fidelity import psnr
from .picture import Picture, from_array
from .reading import PICTURE_SUFFIXES, read_picture
from .resizing import resize
from .tensors import crop, from_tensor, pad, region, to_tensor
from .writing import WRITABLE_SUFFIXES, encode_picture, to_pil, write_picture

__all__ = [
    "PICTURE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "Picture",
    "crop",
    "encode_picture",
    "from_array",
    "from_tensor",
    "pad",
    "psnr",
    "read_picture",
    "region",
    "resize",
    "to_pil",
    "to_tensor",
    "write_picture",
]

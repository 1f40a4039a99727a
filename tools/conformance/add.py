"""Add conformance files to tests/conformance/v1; files that are there already are never touched.

    python tools/conformance/add.py

Each file `NAME.feds` has beside it `NAME.png`, the colours it decoded to where it was written, and a line in
`index.json`: the SHA-256 of its symbols (int16, little-endian, z first), which must hold on every machine and for
ever, and the model and quality it was written with. Where there is alpha, the line has the SHA-256 of its plane too (a
byte a pixel, row by row), and so of Exif and XMP. Pixels may differ by one level: synthesis is float. Files of other
networks than `tiny` need $FEDS_WEIGHTS to name the folder `networks`, see `networks.py`.

A picture of 16 bits a sample is none of its own: it has 8 before it reaches the codec, and the file cannot tell.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fedscodec.codec.decoding import decode_file
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import Model, load_model
from fedscodec.codec.settings import Encoding
from fedscodec.entropy.streams import symbol_bytes
from fedscodec.fileformat import unpack
from fedscodec.images import Picture, from_array, picture_bytes, read_picture, srgb_profile

TESTS = Path(__file__).parents[2] / "tests"
FILES, NETWORKS = TESTS / "conformance" / "v1", TESTS / "conformance" / "networks"
PHOTOGRAPH = TESTS / "pictures" / "astronaut.png"


def pictures() -> dict[str, tuple[Picture, float]]:
    """Name → picture and quality: photographs, noise, flat and periodic content, awkward sizes, grey."""
    photo = read_picture(PHOTOGRAPH).pixels
    random = np.random.default_rng(7)
    noise = random.integers(0, 256, (96, 80, 3), dtype=np.uint8)
    checks = (np.indices((70, 90)).sum(0) % 2 * 255).astype(np.uint8)
    grey = photo[100:164, 180:260].mean(-1).astype(np.uint8)
    flat = np.full((33, 129, 3), (200, 30, 90), dtype=np.uint8)
    return {
        "one-pixel-q4": (from_array(photo[60:61, 220:221].copy()), 4.0),
        "one-row-q2": (from_array(photo[60:61, 100:350].copy()), 2.0),
        "one-column-q7": (from_array(photo[0:500, 220:221].copy()), 7.0),
        "photo-64x64-q1": (from_array(photo[80:144, 190:254].copy()), 1.0),
        "photo-127x65-q3.5": (from_array(photo[40:105, 160:287].copy()), 3.5),
        "photo-256x192-q5": (from_array(photo[0:192, 120:376].copy()), 5.0),
        "photo-200x200-q7": (from_array(photo[0:200, 130:330].copy()), 7.0),
        "noise-q1": (from_array(noise), 1.0),
        "noise-q7": (from_array(noise), 7.0),
        "checks-q6": (from_array(np.repeat(checks[..., None], 3, -1)), 6.0),
        "flat-q4": (from_array(flat), 4.0),
        "grey-q3": (from_array(grey), 3.0),
    }


def more_pictures() -> dict[str, Picture]:
    """Name → picture, small: sizes around multiples of 64, and content that a codec meets seldom."""
    photo = read_picture(PHOTOGRAPH).pixels
    random = np.random.default_rng(8)
    rows, columns = np.mgrid[:40, :70]
    ramp = np.stack([columns * 3, rows * 6, 255 - columns * 3], -1).astype(np.uint8)
    spark = np.zeros((66, 20, 3), np.uint8)
    spark[30, 10] = 255
    text = np.full((30, 65, 3), 255, np.uint8)
    text[4:26:3, 5:60][random.random((8, 55)) < 0.5] = 0
    return {
        "face-65x64": from_array(photo[80:144, 190:255].copy()),
        "suit-63x33": from_array(photo[300:333, 200:263].copy()),
        "row-130x1": from_array(photo[70:71, 150:280].copy()),
        "column-2x129": from_array(photo[0:129, 200:202].copy()),
        "ramp": from_array(ramp),
        "spark": from_array(spark),
        "text": from_array(text),
        "stripes": from_array(np.repeat((columns[:33, :50] // 2 % 2 * 255).astype(np.uint8)[..., None], 3, -1)),
        "primaries": from_array(random.choice([0, 255], (24, 24, 3)).astype(np.uint8)),
        "white-grey": from_array(np.full((16, 16), 255, np.uint8)),
        "pixel": from_array(photo[60:61, 220:221].copy()),
        "black": from_array(np.zeros((65, 1, 3), np.uint8)),
        "profile": Picture(ramp[:20, :20].copy(), icc=b"a profile", exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", xmp=b"<x/>"),
    }


def pictures_with_alpha() -> dict[str, Picture]:
    """Name → picture, small: alpha that is stored as WebP and as PNG, of colour and of grey, and beside all else."""
    photo = read_picture(PHOTOGRAPH).pixels
    rows, columns = np.mgrid[:65, :64]
    disc = np.clip(900 - (rows - 32) ** 2 - (columns - 30) ** 2, 0, 255).astype(np.uint8)
    face = photo[80:145, 190:254].copy()
    few = np.random.default_rng(9).integers(0, 256, (5, 3)).astype(np.uint8)  # smaller as PNG
    exif = b"II*\0\x08\0\0\0\1\0\x0f\1\2\0\xc8\0\0\0\x1a\0\0\0\0\0\0\0" + b"feds".ljust(200, b"\0")
    return {
        "alpha-disc": Picture(face, alpha=disc),
        "alpha-few": Picture(face[:5, :3].copy(), alpha=few),
        "alpha-grey": Picture(np.repeat(face[:40, :50, :1], 3, 2), grey=True, alpha=disc[:40, :50].copy()),
        "alpha-clear": Picture(np.full((1, 1, 3), 90, np.uint8), alpha=np.zeros((1, 1), np.uint8)),
        "alpha-and-all": Picture(
            face, icc=srgb_profile(), exif=exif, xmp=b"<x:xmpmeta>" + b"<rdf:li/>" * 20, alpha=disc[:, ::-1].copy()
        ),
    }


ALPHA: dict[str, dict[str, float]] = {  # network → picture → quality
    "tiny": {"alpha-disc": 4.0, "alpha-few": 3.0, "alpha-grey": 5.0, "alpha-clear": 1.0, "alpha-and-all": 2.5},
    "mini-skip": {"alpha-disc": 6.0},
}
MORE: dict[str, dict[str, tuple[float, ...]]] = {  # network → picture → qualities
    "tiny": {"face-65x64": (2.0,), "spark": (7.0,), "text": (5.25,), "stripes": (1.0,), "profile": (3.0,)},
    "mini-teacher": {
        "face-65x64": (1.0, 4.0, 7.0), "row-130x1": (7.0,), "column-2x129": (2.0,), "spark": (6.999,), "text": (3.0,),
        "primaries": (7.0,), "white-grey": (5.0,),
    },
    "mini-transformer": {
        "face-65x64": (3.0,), "suit-63x33": (1.0, 7.0), "ramp": (4.5,), "stripes": (7.0,), "black": (1.0,),
        "profile": (6.0,),
    },
    "mini-odd": {
        "suit-63x33": (1.0,), "ramp": (1.0,), "primaries": (1.0,), "row-130x1": (1.0,), "white-grey": (1.0,),
        "text": (1.0,),
    },
    "mini-shapes": {
        "face-65x64": (1.0, 7.0), "suit-63x33": (4.0,), "spark": (6.0,), "text": (2.5,), "primaries": (7.0,),
        "row-130x1": (3.0,),
    },
    "mini-light-student": {
        "face-65x64": (1.0, 7.0), "suit-63x33": (4.0,), "spark": (6.0,), "text": (2.5,), "pixel": (3.0,),
        "row-130x1": (3.0,),
    },
    "mini-light-teacher": {
        "face-65x64": (1.0, 3.0), "column-2x129": (2.0,), "primaries": (3.0,), "black": (1.0,), "pixel": (2.2,),
    },
    "mini-light-corners": {
        "face-65x64": (1.0, 6.5), "spark": (7.0,), "row-130x1": (2.0,), "pixel": (4.0,),
    },
    "mini-skip": {
        "face-65x64": (1.0, 7.0), "ramp": (2.5,), "spark": (4.0,), "black": (7.0,), "column-2x129": (6.0,),
        "primaries": (1.001,),
    },
}  # fmt: skip


def add(
    name: str,
    picture: Picture,
    quality: float,
    model: Model,
    index: dict[str, dict[str, object]],
    stream_checks: bool | None = None,
) -> None:
    """Write one file, its pixels and its line, unless they are there."""
    if name in index:
        return
    model.precision = torch.float32  # what the pixels beside it are in
    encoded = encode_picture(picture, model, Encoding(quality=quality, stream_checks=stream_checks))
    decoded = decode_file(unpack(encoded.data), model)
    if not all(np.array_equal(a, b) for a, b in zip(encoded.symbols, decoded.symbols, strict=True)):
        raise AssertionError(f"{name} decodes to other symbols")
    (FILES / f"{name}.feds").write_bytes(encoded.data)
    (FILES / f"{name}.png").write_bytes(picture_bytes(replace(decoded.picture, alpha=None), "png"))
    symbols = hashlib.sha256(b"".join(symbol_bytes(encoded.symbols))).hexdigest()
    index[name] = {"model": model.name, "quality": quality, "symbols_sha256": symbols}
    if picture.alpha is not None:
        beside = {"alpha": picture.alpha.tobytes(), "exif": picture.exif, "xmp": picture.xmp}
        index[name] |= {f"{what}_sha256": hashlib.sha256(data).hexdigest() for what, data in beside.items() if data}


def main() -> None:
    """Add what is missing."""
    path = FILES / "index.json"
    index = json.loads(path.read_text()) if path.exists() else {}
    model = load_model("tiny", "cpu")
    for name, (picture, quality) in pictures().items():
        add(name, picture, quality, model, index)
    more = more_pictures()
    for network, chosen in MORE.items():
        if network != "tiny":
            model = load_model(str(NETWORKS / f"{network}.safetensors"), "cpu")
        for name, qualities in chosen.items():
            for quality in qualities:
                add(f"{network}-{name}-q{quality:g}", more[name], quality, model, index)
        for name, quality in ALPHA.get(network, {}).items():
            picture = pictures_with_alpha()[name]
            add(f"{network}-{name}-q{quality:g}", picture, quality, model, index, name == "alpha-and-all")
    path.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()

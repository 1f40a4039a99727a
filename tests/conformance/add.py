"""Add conformance files to v1; files that are there already are never touched.

    python tests/conformance/add.py

Each file `NAME.feds` has beside it `NAME.png`, the pixels it decoded to where it was written, and a line in
`index.json`: the SHA-256 of its symbols (int16, little-endian, z first), which must hold on every machine and for
ever, and the model and quality it was written with. Pixels may differ by one level: synthesis is float.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from fedscodec.codec import Model, decode_file, encode_picture, load_model
from fedscodec.entropy.coders import symbol_bytes
from fedscodec.fileformat import unpack
from fedscodec.images import Picture, from_array, read_picture
from fedscodec.images import encode_picture as encode_png

HERE = Path(__file__).parent / "v1"
PHOTOGRAPH = Path(__file__).parent.parent / "pictures" / "astronaut.png"


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


def add(name: str, picture: Picture, quality: float, model: Model, index: dict[str, dict[str, object]]) -> None:
    """Write one file, its pixels and its line, unless they are there."""
    if name in index:
        return
    encoded = encode_picture(picture, model, quality)
    decoded = decode_file(unpack(encoded.data), model)
    (HERE / f"{name}.feds").write_bytes(encoded.data)
    (HERE / f"{name}.png").write_bytes(encode_png(decoded.picture, "png"))
    symbols = hashlib.sha256(b"".join(symbol_bytes(encoded.symbols))).hexdigest()
    index[name] = {"model": model.name, "quality": quality, "symbols_sha256": symbols}


def main() -> None:
    """Add what is missing."""
    path = HERE / "index.json"
    index = json.loads(path.read_text()) if path.exists() else {}
    model = load_model("tiny", "cpu")
    for name, (picture, quality) in pictures().items():
        add(name, picture, quality, model, index)
    path.write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Write the pictures of the bench that are no photographs, as PNG: python tools/make_graphics.py FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from fedscodec.images.graphics import pictures


def main(folder: Path) -> None:
    """Write every picture under its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures().items():
        Image.fromarray(pixels).save(folder / f"{name}.png")
    print(f"{folder}: {len(pictures())} pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "graphics"))

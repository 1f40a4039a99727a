"""Writes format.md: the byte tables above the code of the format, which are the specification, with words around them.

python docs/write_format.py
"""

from __future__ import annotations

import inspect
from pathlib import Path

from fedscodec import boxes, fileformat

PAGE = Path(__file__).with_name("format.md")
TEXT = """# The .feds file

This page is made from the docstrings of `fedscodec/fileformat.py` and `fedscodec/boxes.py` by
`python docs/write_format.py`; a test holds them to each other. What is below is the whole container. What the streams
mean is decided by the network that the fingerprint names: its integers and its frequency tables are in the weights
file, see [how it works](how-it-works.md).

- Version 1 may gain box types and nothing else. A file of a later version is refused by its version byte.
- The streams are those of constriction's `AnsCoder`: 32-bit words, little-endian, one coder for each stream.
- A file is named `.feds`; its media type is `image/x-feds`.
- `tests/conformance/v1` holds files with the SHA-256 of their symbols, `tests/hostile` files that are refused, each
  with its sentence. A reader that gives the symbols of the ones and refuses the others is a sound reader.

## File

```text
{file}
```

## Boxes

```text
{boxes}
```
"""


def page() -> str:
    """The page as it should be."""
    return TEXT.format(file=inspect.getdoc(fileformat), boxes=inspect.getdoc(boxes))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

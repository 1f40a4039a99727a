"""Copy the byte tables above the code of the format into docs/format.md, below the comments that name their files.

python tools/write_format.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from fedscodec import boxes, fileformat

PAGE = Path(__file__).parents[1] / "docs" / "format.md"
TABLES = {"fedscodec/fileformat.py": fileformat, "fedscodec/boxes.py": boxes}


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    for name, module in TABLES.items():
        begin = f"<!-- from {name} -->\n\n```text\n"
        block = re.compile(rf"{re.escape(begin)}.*?\n```\n", re.S)
        text, count = block.subn(lambda _: f"{begin}{inspect.getdoc(module)}\n```\n", text)  # noqa: B023 (called now)
        if count != 1:
            raise ValueError(f"format.md should have one table from {name}, found {count}")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

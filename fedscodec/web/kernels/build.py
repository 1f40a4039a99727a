"""Compiles kernels.c into the file that the page loads.

    python fedscodec/web/kernels/build.py [CLANG]

Needs clang and lld 16 or newer (on Debian: apt install clang-16 lld-16).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "page"
FLAGS = (
    "--target=wasm32", "-O3", "-std=c11", "-nostdlib", "-ffreestanding", "-fno-builtin-memset", "-msimd128",
    "-mbulk-memory", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=65536",
    "-Wl,--export=__heap_base", "-Wl,--max-memory=4294967296",
)  # fmt: skip


def build(folder: Path, clang: str = "clang-16") -> None:
    """Compile the kernels into a folder."""
    command = [clang, *FLAGS, str(HERE / "kernels.c"), "-o", str(folder / "kernels.wasm")]
    subprocess.run(command, check=True)
    (folder / "kernels.wasm").chmod(0o644)


if __name__ == "__main__":
    build(PAGE, *sys.argv[1:2])

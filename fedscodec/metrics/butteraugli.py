"""Butteraugli by libjxl's own tool, `butteraugli_main` (in Debian's libjxl-devtools and in libjxl's releases)."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FedsError
from .sizes import require_one_size

TOOL = "butteraugli_main"
HOW_TO_GET = f"Butteraugli needs {TOOL} of libjxl on the PATH: apt install libjxl-devtools"
_LEAST_SIDE = 8  # smaller pictures are continued by mirroring


def butteraugli(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The 3-norm of the distances between sRGB samples uint8 [H, W, 3] at 80 nits; 0 for equal pictures.

    A difference becomes visible at about 1. Raises FedsError if the tool is missing or fails.
    """
    require_one_size(a, b)
    if np.array_equal(a, b):
        return 0.0
    with tempfile.TemporaryDirectory(prefix="feds-") as folder:
        paths = [Path(folder) / name for name in ("original.ppm", "distorted.ppm")]
        for path, pixels in zip(paths, (a, b), strict=True):
            _write_ppm(path, _large_enough(pixels))
        done = subprocess.run([_program(), *map(str, paths)], capture_output=True, text=True, check=False)
    return _norm_of(done)


def missing() -> str | None:
    """How to get the tool if it is not on the PATH."""
    return None if shutil.which(TOOL) else HOW_TO_GET


def version() -> str:
    """The version of libjxl from `djxl` beside the tool; the tool itself does not print it."""
    beside = Path(_program()).with_name("djxl")
    if not beside.is_file():
        return f"{TOOL} (version unknown)"
    answer = subprocess.run([beside, "--version"], capture_output=True, text=True, check=False).stdout.split()
    return f"libjxl {answer[1].removeprefix('v')}" if len(answer) > 1 else f"{TOOL} (version unknown)"


@cache
def _program() -> str:
    if (found := shutil.which(TOOL)) is None:
        raise FedsError(HOW_TO_GET)
    return found


def _norm_of(done: subprocess.CompletedProcess[str]) -> float:
    """The figure after `3-norm:` on the second line."""
    for line in done.stdout.splitlines():
        name, _, figure = line.partition(":")
        if name == "3-norm" and done.returncode == 0 and math.isfinite(float(figure)):
            return float(figure)
    words = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
    raise FedsError(f"{TOOL} failed: {words[0]}")


def _write_ppm(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.write_bytes(b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())


def _large_enough(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    extra = [(0, max(_LEAST_SIDE - side, 0)) for side in pixels.shape[:2]]
    return np.pad(pixels, [*extra, (0, 0)], mode="symmetric")

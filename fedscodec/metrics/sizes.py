"""Check the sizes of two pictures before any metric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import FedsError


def require_one_size(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """Raise FedsError unless two arrays have the same shape."""
    if a.shape != b.shape:
        raise FedsError(f"expected pictures of the same size, found {a.shape} and {b.shape}")

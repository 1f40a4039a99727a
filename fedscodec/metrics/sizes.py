"""What every metric asks of two pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import FedsError


def require_one_size(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    """FedsError unless two arrays have one shape."""
    if a.shape != b.shape:
        raise FedsError(f"expected pictures of the same size, found {a.shape} and {b.shape}")

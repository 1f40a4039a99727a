"""Named arrays, as weights files hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import WeightsError

Arrays = dict[str, np.ndarray]


def fitting_array(arrays: Mapping[str, np.ndarray], name: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """An array by its name. Raises WeightsError if it is missing or does not fit."""
    array = arrays.get(name)
    if array is None:
        raise WeightsError(f"the array {name} is missing")
    if array.dtype != dtype or array.shape != shape:
        expected = f"{np.dtype(dtype).name} {list(shape)}"
        raise WeightsError(f"expected {name} as {expected}, found {array.dtype.name} {list(array.shape)}")
    return array

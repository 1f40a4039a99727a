"""The integer layers in plain numpy int64, slow and sharing no code with the package: what tests compare with."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from unittest import mock

import numpy as np
import numpy.typing as npt

from fedscodec.entropy.exact32 import ExactLayer
from fedscodec.entropy.integer import IntegerConv


def exact_backend(name: str) -> AbstractContextManager[object]:
    """A with block in which integer layers run with this backend."""
    return mock.patch.dict(os.environ, FEDS_EXACT_BACKEND=name)


def integer_conv_in_numpy(layer: IntegerConv, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Compute the layer once more, slowly, in numpy's int64, sharing no code: what `layer(x)` must equal."""
    buffers = (layer.weight, layer.bias, layer.multiplier, layer.shift)
    weight, bias, multiplier, shift = (buffer.cpu().numpy().astype(np.int64) for buffer in buffers)
    image = np.asarray(x).astype(np.int64)
    (batch, height, width, _), kernel, up = image.shape, weight.shape[2], layer.upsample
    padded = np.pad(image, ((0, 0), (kernel // 2, kernel // 2), (kernel // 2, kernel // 2), (0, 0)))
    acc = np.zeros((batch, height, width, weight.shape[0]), dtype=np.int64)
    for ky in range(kernel):
        for kx in range(kernel):
            acc += padded[:, ky : ky + height, kx : kx + width] @ weight[:, :, ky, kx].T
    values = ((acc + bias) * multiplier + (np.int64(1) << (shift - 1))) >> shift
    values = np.minimum(np.maximum(values, layer.low), layer.high)
    out = np.zeros((batch, height * up, width * up, weight.shape[0] // up**2), dtype=np.int64)
    for i in range(up):
        for j in range(up):
            out[:, i::up, j::up] = values[..., up * i + j :: up**2]
    return out


def exact_layer_in_numpy(layer: ExactLayer, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The layer once more, slowly, in numpy's int64, sharing no code: what `layer(x)` must equal."""
    arrays = (layer.weight, layer.bias, layer.shift, layer.low, layer.high)
    weight, bias, shift, low, high = (array.cpu().numpy().astype(np.int64) for array in arrays)
    image = np.asarray(x)
    planes = image.dtype == np.int8 and (layer.wide or layer.unsigned)
    image = image.astype(np.int64)
    if planes:
        image = 256 * image[: len(image) // 2] + image[len(image) // 2 :]
    if layer.depthwise:
        kernel, (height, width) = weight.shape[1], image.shape[1:3]
        padded = np.pad(image, ((0, 0), (kernel // 2, kernel // 2), (kernel // 2, kernel // 2), (0, 0)))
        views = ((i, j, padded[:, i : i + height, j : j + width]) for i in range(kernel) for j in range(kernel))
        sums = sum(view * weight[:, i, j] for i, j, view in views)
        found: npt.NDArray[np.int64] = np.clip((sums + bias) >> shift, low, high)
        return found
    if layer.groups > 1:
        rows = [slice(group, None, layer.groups) for group in range(layer.groups)]
        each = [
            np.clip((image[:, g] @ weight[r].T + bias[r]) >> shift[r], low[r], high[r]) for g, r in enumerate(rows)
        ]  # fmt: skip
        return np.stack(each, 1)
    out: npt.NDArray[np.int64] = np.clip((image @ weight.T + bias) >> shift, low, high)
    if layer.upsample == 1:
        return out
    batch, height, width, channels = out.shape
    wide = np.zeros((batch, 2 * height, 2 * width, channels // 4), dtype=np.int64)
    for i in range(2):
        for j in range(2):
            wide[:, i::2, j::2] = out[..., 2 * i + j :: 4]
    return wide

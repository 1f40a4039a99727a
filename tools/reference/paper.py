"""The entropy side of the paper-size networks, read from docs/format.md alone: 3x3 layers and slices of channels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ans import decode
from container import Container
from network import Weights

RELU, SIGNED, MEAN = (0, 127), (-127, 127), (-32767, 32767)


def symbols(file: Container, weights: Weights) -> Iterator[np.ndarray]:
    """The symbols of every stream, z first, each int16 [H, W, C]."""
    spec = weights.spec
    rows, columns = -(-file.height // 64), -(-file.width // 64)
    slices, scales = spec["slices"], spec["scales"]
    channels = spec["latents"] // slices
    shape = (rows, columns, spec["hyper_latents"])
    z = decode(file.streams[0], np.broadcast_to(np.arange(shape[2]), shape), weights.z_tables)
    yield z
    distance = (file.quality - 500 * (len(spec["lambdas"]) + 1)) // 32
    plane = np.full((rows, columns, 1), np.clip(distance, -127, 127))
    seen = np.concatenate([np.clip(z.astype(np.int64), -127, 127), plane], 2)
    for j, (up, bounds) in enumerate([(1, RELU), (2, RELU), (1, RELU), (2, RELU), (1, SIGNED)]):
        seen = layer(seen, weights.of(f"side.h_s.{j}."), bounds, up)
    each = len(weights.y_tables.starts) > scales
    context = weights.of("side.context.")
    depth = len(spec["slice_filters"])
    for i in range(slices):
        first = layer(seen, weights.of(f"side.nets.{i}.first."), RELU)
        half = first.shape[2] // 2
        mean, index = first[..., :half], first[..., half:]
        for j in range(depth):
            last = j == depth - 1
            mean = layer(mean, weights.of(f"side.nets.{i}.mean.{j}."), MEAN if last else RELU)
            index = layer(index, weights.of(f"side.nets.{i}.index.{j}."), (0, scales - 1) if last else RELU)
        tables = weights.y_tables.part(i * scales if each else 0, scales)
        found = decode(file.streams[1 + i], index, tables)
        yield found
        part = slice(i * channels, (i + 1) * channels)
        y_hat = 16 * found.astype(np.int64) + mean
        known = requantised(y_hat, context["multiplier"][part], context["shift"][part], (-127, 127))
        seen = np.concatenate([seen, known], 2)


def layer(x: np.ndarray, arrays: dict[str, np.ndarray], bounds: tuple[int, int], up: int = 1) -> np.ndarray:
    """A convolution k x k of the same size, requantised, with its channels moved to twice the size where `up` is 2."""
    weight, bias = arrays["weight"], arrays["bias"]
    half, (height, width) = weight.shape[2] // 2, x.shape[:2]
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    sums = np.broadcast_to(bias, (height, width, len(bias))).copy()
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            sums += padded[i : i + height, j : j + width] @ weight[:, :, i, j].T
    out = requantised(sums, arrays["multiplier"], arrays["shift"], bounds)
    return shuffled(out) if up == 2 else out


def requantised(
    sums: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, bounds: tuple[int, int]
) -> np.ndarray:  # fmt: skip
    """`sums * multiplier / 2**shift`, halves rounded up, within bounds."""
    return np.clip((sums * multiplier + (np.int64(1) << (shift - 1))) >> shift, *bounds)


def shuffled(x: np.ndarray) -> np.ndarray:
    """Channel 4c + 2i + j of (y, x) becomes channel c of (2y + i, 2x + j)."""
    height, width, channels = x.shape
    parts = x.reshape(height, width, channels // 4, 2, 2).transpose(0, 3, 1, 4, 2)
    return parts.reshape(2 * height, 2 * width, channels // 4)

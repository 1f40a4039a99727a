"""The entropy side of light networks, read from docs/format.md alone: 1x1 and depthwise layers, cells in passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ans import Stream, decode
from container import Container
from network import Weights
from paper import shuffled

RELU, WIDE, MEAN = (0, 255), (-2047, 2047), (-32767, 32767)
TURN = ((0, 0), (1, 1), (0, 1), (1, 0))
EVEN, ODD = [((0, 0), (1, 1))], [((0, 1), (1, 0))]

Pass = tuple[slice, int, int, list[tuple[tuple[int, int], ...]]]
"""Channels, how many of y_hat its nets see, number of its stream, and the corners of each group of channels."""


def passes(spec: dict) -> list[Pass]:
    """The passes of a network, in order."""
    how, last = spec["entropy"], spec["latents"]
    base, old, two = how["base"], spec["latents"] - how["new"], how["base_streams"] == 2
    first = [EVEN, ODD] if how.get("base_passes", 2) == 2 else [[(corner,)] for corner in TURN]
    found: list[Pass] = []
    for number, corners in enumerate(first):
        odd = two and number >= len(first) // 2
        found.append((slice(0, base), base if number else 0, 1 + odd, corners))
    for turn in range(4):
        corners = [(TURN[(turn + group) % 4],) for group in range(4)]
        found.append((slice(base, old), old if turn else base, 2 + two + turn, corners))
    if how["new"]:
        found += [(slice(old, last), old, 6 + two, EVEN), (slice(old, last), last, 7 + two, ODD)]
    return found


def symbols(file: Container, weights: Weights) -> Iterator[np.ndarray]:
    """The symbols of every stream, z first, each flat int16."""
    spec = weights.spec
    rows, columns, scales = -(-file.height // 64), -(-file.width // 64), spec["scales"]
    shape = (rows, columns, spec["hyper_latents"])
    z = decode(file.streams[0], np.broadcast_to(np.arange(shape[2]), shape), weights.z_tables)
    yield z.reshape(-1)
    side = hyper_synthesis(z, level(file.quality, len(spec["lambdas"])), weights)
    known = np.zeros((4 * rows, 4 * columns, spec["latents"]), dtype=np.int64)
    shift = weights.arrays["side.known.shift"].astype(np.int64)
    each, all_passes = len(weights.y_tables.starts) > scales, passes(spec)
    streams: dict[int, list[np.ndarray]] = {}
    coders: dict[int, Stream] = {}
    for number, (channels, seen, stream, groups) in enumerate(all_passes):
        tables = weights.y_tables.part((stream - 1) * scales if each else 0, scales)
        mean, index = parameters(np.concatenate([side, known[..., :seen]], 2), groups, weights, number, scales)
        if stream not in coders:
            times = [one[2] for one in all_passes].count(stream)
            coders[stream] = Stream(file.streams[stream], times * index.size)
        found = coders[stream].part(index, tables)
        streams.setdefault(stream, []).append(found.reshape(-1))
        y_hat, block = 64 * found.astype(np.int64) + mean, 0
        for group, corners in enumerate(groups):
            places = np.arange(channels.start, channels.stop)[group :: len(groups)]
            half = 1 << shift[places] >> 1
            for row, column in corners:
                known[row::2, column::2, places] = np.clip((y_hat[block] + half) >> shift[places], *WIDE)
                block += 1
        if stream not in [one[2] for one in all_passes[number + 1 :]]:
            coders[stream].finish()
            yield np.concatenate(streams[stream])


def level(quality: int, qualities: int) -> int:
    """What the networks are told of the header's quality."""
    if qualities == 1:
        return 0
    half = 500 * (qualities - 1)
    return (240 * (quality - 500 * (qualities + 1)) + half) // (2 * half)


def hyper_synthesis(z: np.ndarray, told: int, weights: Weights) -> np.ndarray:
    """Side of z and the quality."""
    plane = np.full((*z.shape[:2], 1), told)
    x = np.concatenate([np.clip(z.astype(np.int64), -127, 127), plane], 2)
    for j in range(7):
        arrays = weights.of(f"side.h_s.{j}.")
        x = pointwise(x, arrays, RELU) if j % 2 == 0 else depthwise(x, arrays)
        if j in (2, 4):
            x = shuffled(x)
    return x


def parameters(
    x: np.ndarray, groups: list[tuple[tuple[int, int], ...]], weights: Weights, number: int, scales: int
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Mean and index of a pass, [groups * corners, rows / 2, columns / 2, channels / groups]."""
    first, around, second, last = (
        weights.of(f"side.nets.{number}.{name}.") for name in ("first", "around", "second", "last")
    )
    hidden = pointwise(depthwise(pointwise(x, first, RELU), around), second, RELU)
    means, indexes = [], []
    for group, corners in enumerate(groups):
        rows = {name: array[group :: len(groups)] for name, array in last.items()}
        half = len(rows["bias"]) // 2
        for row, column in corners:
            out = (hidden[row::2, column::2] @ rows["weight"].T + rows["bias"]) >> rows["shift"]
            means.append(np.clip(out[..., :half], *MEAN))
            indexes.append(np.clip(out[..., half:], 0, scales - 1))
    return np.stack(means), np.stack(indexes)


def pointwise(x: np.ndarray, arrays: dict[str, np.ndarray], bounds: tuple[int, int]) -> np.ndarray:
    """A 1x1 layer of [rows, columns, I]."""
    return np.clip((x @ arrays["weight"].T + arrays["bias"]) >> arrays["shift"], *bounds)


def depthwise(x: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """A layer k x k whose channels do not mix, with zeros around the map."""
    weight, (height, width) = arrays["weight"], x.shape[:2]
    half = weight.shape[1] // 2
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    sums = np.broadcast_to(arrays["bias"], x.shape).copy()
    for i in range(weight.shape[1]):
        for j in range(weight.shape[2]):
            sums += padded[i : i + height, j : j + width] * weight[:, i, j]
    return np.clip(sums >> arrays["shift"], *WIDE)

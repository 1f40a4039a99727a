"""Previews: a picture from its first slices, or a small one without most of the work.

A small picture needs neither all slices nor g_s over the whole picture. The mean colour of a block of pixels is nearly
a linear function of the latents of that place, for every network. So g_s runs on some patches only, a linear readout is
fitted to the means of its output there, and the readout makes the whole small picture.

    reduced by      slices read     readout, for each latent position
       16           1/5             1 pixel
        8           2/5             2×2 pixels
        4           3/5             4×4 pixels

Of these the smallest picture that is still twice as large as asked for is made (or a quarter, if only that is larger),
and brought to size by Lanczos. Where even a quarter is too small, where there is too little to fit a readout to, or
where none fits (a network that is far from linear), g_s runs on everything, and what it gives is made smaller.

What that takes and gives, in processor time and against decoding all of it and making that smaller (student
6c9a42334933a82b, q3, one thread): half of the time for a Kodak picture (768×512), a quarter for one of 1536×1024. For a
side of 1/32, 1/16, 1/8, 1/5 and 1/4 of Kodak 3, 8, 19 and 23 it is 42, 42, 38, 34 and 33 dB near in the mean, and 38,
39, 36, 33 and 31 dB at worst.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..entropy.fixedpoint import MEAN_UNIT
from ..errors import FedsError
from ..fileformat import FedsFile
from ..images import Picture, resize, resized
from .beside import with_boxes
from .decoding import decode_file, read_latents, require_fit
from .devices import sparing
from .exact import exact_picture
from .latents import synthesise
from .model import Model
from .outcomes import Clock, Decoded, Progress

_REDUCTIONS = ((16, 0.2), (8, 0.4), (4, 0.6))  # by how much, and of the slices how many are read
_PATCH, _BORDER = 16, 2  # latents on a side of a patch; those at its edge, for which g_s lacks neighbours, do not count
_PATCHES = (2, 6)  # at least and at most
_SHARE = 8  # where there are neither few nor many latents, this part of them is in patches
_FEW = 4 * _PATCH**2  # latents, of which g_s on all is no more work than is worth saving
_SAMPLES = 8  # positions to fit each weight to, at least: with fewer weights than that the fit would be to noise
_RIDGE = 1e-3
Floats = NDArray[np.float64]
FAITHFUL = 28.0
"""PSNR in decibels that a readout must reach against the output of g_s, where it was not fitted."""


def decode_preview(
    file: FedsFile,
    model: Model,
    *,
    size: int | None = None,
    slices: int | None = None,
    progress: Progress | None = None,
) -> Decoded:
    """Decode an unpacked file from its first `slices`, or with a longer side of `size` pixels; never enlarged.

    With size, slices follows from it unless given. symbols are empty for small pictures. Raises FormatError if the file
    is damaged (all slices show that for certain, the first ones only for themselves), and FedsError for a size below 1.
    """
    if size is not None and size < 1:
        raise FedsError(f"expected a preview of at least 1 pixel on its longer side, found {size}")
    if size is None or size >= max(file.header.width, file.header.height):
        return decode_file(file, model, slices=slices, progress=progress)
    if (exact := exact_picture(file)) is not None:
        require_fit(file, model, slices)
        return Decoded(resize(exact, *preview_size(exact.width, exact.height, size)), {}, [])
    return _decode_small(file, model, size, slices, progress)


@sparing
def _decode_small(file: FedsFile, model: Model, size: int, slices: int | None, progress: Progress | None) -> Decoded:
    by, share = _reduction(max(file.header.width, file.header.height) / size)
    wanted = math.ceil(share * model.spec.streams) if slices is None else slices
    clock = Clock(model.wait)
    y_hat = read_latents(file, model, wanted, clock)
    with clock.stage("synthesis"):
        pixels = _read_out(y_hat, wanted, by, file, model) if by > 1 else None
        if pixels is None:
            by, pixels = 1, synthesise(model, y_hat, file.header, progress)
        small = _to_size(pixels, by, file, size)
    return Decoded(small, clock.seconds, [])


def preview_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height of a preview with a longer side of `size` pixels, at most those of the picture."""
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _reduction(ratio: float) -> tuple[int, float]:
    """The reduction of the readout, and the share of the slices, for a picture to be made smaller by `ratio`.

    Twice the requested size leaves something to filter; if that is not possible, the requested size is used.
    """
    twice = [choice for choice in _REDUCTIONS if ratio >= 2 * choice[0]]
    once = [choice for choice in _REDUCTIONS[-1:] if ratio >= choice[0]]
    return (twice or once or [(1, 1.0)])[0]


def _to_size(pixels: np.ndarray, by: int, file: FedsFile, size: int) -> Picture:
    header = file.header
    width, height = preview_size(header.width, header.height, size)
    small = resized(pixels, width, height, of=(header.width / by, header.height / by))
    return with_boxes(Picture(small, header.grey), file, to_fit=lambda alpha: resized(alpha, width, height))


def _read_out(y_hat: Any, slices: int, by: int, file: FedsFile, model: Model) -> np.ndarray | None:
    """The picture reduced `by` 16, 8 or 4, without padding; None if no readout is good enough."""
    rows, columns = y_hat.shape[1:3]
    if rows * columns < _FEW or min(rows, columns) < _PATCH:
        return None
    count = min(max(rows * columns // (_SHARE * _PATCH**2), _PATCHES[0]), _PATCHES[1])
    patches = _patches(y_hat, count)
    inner = slice(_BORDER, _PATCH - _BORDER)
    samples = count * (_PATCH - 2 * _BORDER) ** 2
    read = max(part.channels[1] for part in model.spec.parts() if part.stream <= slices)
    used = min(read, samples // _SAMPLES)
    features = np.concatenate([_features(model.as_array(one)[0, inner, inner, :used]) for one in patches])
    weights = _fit(features, np.concatenate([_means(one, by, file, model)[inner, inner] for one in patches]))
    if weights is None:
        return None
    side = 16 // by
    small = np.empty((rows * side, columns * side, 3), dtype=np.uint8)
    seen = model.as_array(y_hat[0, :, :, :used])  # one copy from a GPU
    for row in range(rows):
        values = _features(seen[row]) @ weights
        squares = values.reshape(columns, side, side, 3).transpose(1, 0, 2, 3).reshape(side, -1, 3)
        squares = squares.mean(-1, keepdims=True) if file.header.grey else squares
        small[row * side : (row + 1) * side] = np.floor(squares.clip(0, 1) * 255 + 0.5)
    height, width = -(-file.header.height // by), -(-file.header.width // by)
    return small[:height, :width]


def _patches(y_hat: Any, count: int) -> list[Any]:
    """Patches [1, P, P, M] of [1, H/16, W/16, M], spread over all parts of the picture."""
    rows, columns = (side - _PATCH for side in y_hat.shape[1:3])
    golden = (math.sqrt(5) - 1) / 2
    corners = [(round(rows * (i + 0.5) / count), round(columns * ((i + 0.5) * golden % 1))) for i in range(count)]
    return [y_hat[:, top : top + _PATCH, left : left + _PATCH] for top, left in corners]


def _means(patch: Any, by: int, file: FedsFile, model: Model) -> Floats:
    """Block means of the output of g_s for a patch: [P, P, 3·(16/by)²], positions first."""
    with model.autocast():
        pixels = model.g_s(patch, file.header.quality / 1000, grey=file.header.grey)
    side = 16 // by
    blocks: Floats = pixels[0].reshape(3, _PATCH, side, by, _PATCH, side, by).mean((3, 6)) / 255
    return blocks.transpose(1, 3, 2, 4, 0).reshape(_PATCH, _PATCH, -1)


def _features(latents: np.ndarray) -> Floats:
    """Latents [..., channels] as float [positions, channels + 1], with a column of ones; `_fit` takes any unit."""
    values: Floats = latents.reshape(-1, latents.shape[-1]) / MEAN_UNIT
    return np.concatenate([values, np.ones((len(values), 1))], 1)


def _fit(x: Floats, targets: Floats) -> Floats | None:
    """Weights [channels + 1, targets] by ridge regression; None if a fit to half of the rows is bad on the others."""
    y = targets.reshape(len(x), -1)
    scale = np.sqrt(np.square(x).mean(0)).clip(1e-6)
    scaled = x / scale
    half = _solved(scaled[::2], y[::2])
    error = float(np.square(scaled[1::2] @ half - y[1::2]).mean())
    return _solved(scaled, y) / scale[:, None] if error <= 10 ** (-FAITHFUL / 10) else None


def _solved(x: Floats, y: Floats) -> Floats:
    damping = _RIDGE * len(x) * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(x.T @ x + damping, x.T @ y), np.float64)

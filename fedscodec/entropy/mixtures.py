"""Frequency tables for residuals that are not Gaussian: mixtures whose shapes are fitted to counts.

The scale network predicts how wide a latent's residual spreads; the distribution around that width has a narrower peak
and heavier tails than a Gaussian. So table k of scale s_k is a mixture of five Gaussians whose scales are fixed
multiples of s_k,

    p(n) = Σ_j w_j · [Φ((n + ½) / a_j s_k) − Φ((n − ½) / a_j s_k)],      a = ¼, ½, 1, 2, 4,

and its *shape* is w, fitted to counted residuals. Each slice has shapes of its own. w = (0, 0, 1, 0, 0) is Eq. 10.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tables import ESCAPE_SHARE, Tables, scale_table, symmetric_tables, upper_tail

RELATIVE_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
GAUSSIAN = (0.0, 0.0, 1.0, 0.0, 0.0)
"""The shape of a plain Gaussian."""

RADIUS = 255
"""Residuals are counted by magnitude up to here; the last bin holds all larger ones."""

_TABLE_RADIUS = 511  # of a fitted table at most: with one table for every slice and scale, a third of a megabyte less
_ROUNDS = 200
_PRIOR = (50.0, 100.0)
"""Weight, in residuals, of the common shape in the shape of a table, and of that in the shape of one slice's table."""

Floats = NDArray[np.float64]


def fit_shapes(counts: Floats, scales: Floats) -> Floats:
    """Shapes [slices, tables, 5] that make counted magnitudes [slices, tables, RADIUS + 1] most probable.

    Expectation maximisation in three passes, each the prior of the next: one shape for all, one for each table, one
    for each table in each slice; so a table that was hardly used looks like its neighbours.
    """
    parts = _parts(scales)
    together = counts.sum(0)
    everywhere = _fit_one(together, parts)
    by_table = _fit(together, parts, _PRIOR[0] * np.broadcast_to(everywhere, parts.shape[:2]))
    return _fit(counts, parts, _PRIOR[1] * np.broadcast_to(by_table, (len(counts), *parts.shape[:2])))


def _parts(scales: Floats) -> Floats:
    """Mass that every component of every table gives to each magnitude, [tables, 5, RADIUS + 1]."""
    edges = np.arange(RADIUS + 1) - 0.5
    beyond: Floats = 2 * upper_tail(edges / np.multiply.outer(scales, RELATIVE_SCALES)[..., None])  # P(|x| > edge)
    beyond[..., 0] = 1.0
    masses = beyond.copy()
    masses[..., :-1] -= beyond[..., 1:]
    floored: Floats = masses.clip(1e-30)
    return floored


def _fit(counts: Floats, parts: Floats, prior: Floats) -> Floats:
    """Weights [..., tables, 5] for counts [..., tables, N]; prior: pseudo-counts of the components."""
    weights: Floats = prior / prior.sum(-1, keepdims=True)
    for _ in range(_ROUNDS):
        found = weights * _shares(counts, weights, parts) + prior
        weights = found / found.sum(-1, keepdims=True)
    return weights


def _fit_one(counts: Floats, parts: Floats) -> Floats:
    """One shape [5] for all tables."""
    weights = np.full(len(RELATIVE_SCALES), 1 / len(RELATIVE_SCALES))
    for _ in range(_ROUNDS):
        found = weights * (_shares(counts, np.broadcast_to(weights, parts.shape[:2]), parts).sum(0) + 1e-9)
        weights = found / found.sum()
    return weights


def _shares(counts: Floats, weights: Floats, parts: Floats) -> Floats:
    """Σ_n counts · part / mixture for each component, [..., tables, 5]."""
    mixture = np.einsum("...kj,kjn->...kn", weights, parts)
    return np.asarray(np.einsum("...kn,kjn->...kj", counts / mixture, parts))


def mixture_tables(shapes: Floats, smallest: float, largest: float, skip: int = 0) -> Tables:
    """The tables of shapes [slices, tables, 5], slice after slice; see `Tables.split`.

    A table ends where less than 2**-16 is left outside, or at plus or minus 511; the rest goes to ESCAPE. The first
    `skip` of each slice code nothing.
    """
    scales = scale_table(shapes.shape[1], smallest, largest)
    rows = [_row(shape, float(scale)) for by_table in shapes for shape, scale in zip(by_table, scales, strict=True)]
    return symmetric_tables(rows, skip)


def _row(shape: Floats, scale: float) -> Floats:
    """Probabilities of -R .. R for one table."""
    edges = np.arange(_TABLE_RADIUS + 1) + 0.5
    factors = [relative * scale for relative in RELATIVE_SCALES]
    tails = np.stack([upper_tail(edges / factor) for factor in factors])
    beyond: Floats = np.einsum("j,jn->n", 2 * shape / shape.sum(), tails)
    small = np.flatnonzero(beyond < ESCAPE_SHARE)
    radius = max(int(small[0]), 1) if small.size else _TABLE_RADIUS
    right = -np.diff(beyond[: radius + 1]) / 2
    return np.concatenate([right[::-1], [1.0 - beyond[0]], right])


def is_gaussian(shapes: NDArray[np.floating]) -> bool:
    """Whether no shape was ever fitted."""
    return bool(np.all(shapes == np.array(GAUSSIAN, dtype=shapes.dtype)))

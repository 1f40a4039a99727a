"""Mix graphics and crops with moved colours into the photographs, a few of every hundred.

Both keep a network from forgetting what photographs do not show, above all colours in the corners of the RGB cube. They
appear while the learning rate falls; before that, they made photographs worse at once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..images.graphics import draw
from .recipe import Recipe


class Mixture:
    """Replaces some crops of a batch; the choice is drawn on the host, to avoid waiting for a GPU."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def mixed(self, x: Tensor, step: int, part: slice, progress: float) -> Tensor:
        """The crops x [B, 3, H, W] in 0..1 of a step, some replaced in place; `part`: which of the batch they are."""
        falling = progress >= self.recipe.falls_at
        graphics = self.recipe.graphics if falling else self.recipe.graphics_before
        jitter = self.recipe.jitter if falling else 0.0
        if graphics + jitter == 0:
            return x
        for place in range(len(x)):
            random = np.random.default_rng((self.recipe.seed, step, (part.start or 0) + place))
            chance = random.random()
            if chance < graphics:
                x[place] = _to_tensor(draw(random, *x.shape[2:]), x.device)
            elif chance < graphics + jitter:
                x[place] = moved_colours(x[place], random)
        return x


def moved_colours(x: Tensor, random: np.random.Generator) -> Tensor:
    """A picture [3, H, W] in 0..1 with its channels mixed, stretched and shifted anywhere in the cube."""
    order = random.permutation(3)
    mix = np.eye(3)[order] + random.normal(0, 0.25, (3, 3))
    mix *= random.uniform(0.6, 2.5)
    shift = random.uniform(-0.5, 0.5, 3) + 0.5 - 0.5 * mix.sum(1)
    matrix, offset = (torch.from_numpy(v.astype(np.float32)).to(x.device, non_blocking=True) for v in (mix, shift))
    return (torch.einsum("ij,jhw->ihw", matrix, x) + offset[:, None, None]).clamp(0, 1)


def _to_tensor(pixels: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    return tensor.to(device, non_blocking=True).float().div_(255)

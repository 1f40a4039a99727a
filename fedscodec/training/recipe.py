"""`Recipe`: how a network is trained, as one frozen value; every field is a flag of `feds train` of the same name.

`RECIPES` holds the recipes that have names: ours, which fit into a number of minutes, and those of the paper, which
count steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from ..errors import FedsError

Phase = Literal["linear", "full", "quantised", "decoder"]
"""Parts of a run, in their order; a run need not have them all."""


@dataclass(frozen=True)
class Recipe:
    """A training run that fits into `minutes`, or that is over after `steps` where these are given.

    Shares are parts of the whole run. In the first `linear_share` only the wavelet shortcut and the entropy side are
    trained, which costs a quarter of a full step and gives the entropy model a settled transform to learn from. In the
    last `quantised_share` the entropy side runs with fake quantisation, so that the integers that ship were tuned. A
    `decoder_share` after that trains g_s alone, which changes no file and costs half a step.

    The learning rate rises for `warm_up`, stays, and falls to zero along a cosine after `decay_from`; with
    `milestones`, it falls to a tenth at each of these steps instead.

    alpha, beta, gamma and delta weigh what a student learns from a teacher (Eq. 3), where there is one.
    """

    minutes: float = 30.0
    steps: int = 0  # where not 0, how long the run is, in place of the minutes
    batch: int = 8  # over all processes together
    crop: int = 256  # pixels, a multiple of 64
    optimizer: Literal["adam", "soap"] = "soap"  # of the transforms; the entropy side always runs Adam
    precondition_every: int = 10  # steps between SOAP's decompositions
    lr: float = 5e-4  # of the transforms
    side_lr: float = 1e-3  # of the entropy side, h_a and the gains
    shortcut_lr: float = 1e-4  # of the wavelet shortcut
    prior_lr: float = 2e-2  # of the prior of z: logarithms of scales, which must travel by whole units
    warm_up: float = 0.02
    decay_from: float = 0.4
    milestones: tuple[int, ...] = ()
    linear_share: float = 0.15
    quantised_share: float = 0.12
    decoder_share: float = 0.0  # at the very end: g_s alone, on latents as files hold them
    free_z: float = 0.1  # until here z costs nothing, then its price rises to the full one over as long again
    balance: float = 0.5  # exponent by which samples of high λ weigh less, see losses.sample_weights
    alpha: float = 1.0  # of L_output (Eq. 4)
    beta: float = 0.5  # of L_feature (Eq. 5)
    gamma: float = 0.5  # of L_latent (Eq. 8)
    delta: float = 0.0  # of L_distribution, what FU2024KD adds to L_output
    taps: tuple[int, ...] = (0, 1, 2, 3, 4, 5)  # the maps that L_feature compares: three of g_a, three of g_s
    latent_order: Literal["entropy", "teacher"] = "entropy"  # of the channels chosen by rank
    relative: bool = False  # L_feature and L_latent in units of the teacher's spread of each channel
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the transforms; auto: the fastest of the device
    compile: bool = False  # g_a and g_s by torch.compile
    clip: float = 1.0  # norm of the gradient
    ema: float = 0.998  # decay of the moving average of the weights, which is what is kept
    save_every: float = 4.0  # minutes
    shapes_every: float = 0.02  # of the run, after which the shapes of residuals are fitted again; 0: Gaussians
    seed: int = 1

    def __post_init__(self) -> None:
        if self.crop < 64 or self.crop % 64:
            raise ValueError(f"crop must be a positive multiple of 64, found {self.crop}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be {', '.join(allowed[:-1])} or {allowed[-1]}, found {getattr(self, name)}"
                )
        if not 0 <= self.decay_from < 1:
            raise ValueError(f"decay_from must lie in 0..1, found {self.decay_from}")
        if self.minutes <= 0 or self.batch < 1:
            raise ValueError(f"minutes and batch must be positive, found {self.minutes} and {self.batch}")
        if self.steps < 0 or self.precondition_every < 1:
            found = f"{self.steps} and {self.precondition_every}"
            raise ValueError(f"steps must not be negative and precondition_every be positive, found {found}")
        if self.milestones and not self.steps:
            raise ValueError(f"milestones are steps, and need a run of steps, found {self.milestones} without")
        if any(not 0 <= tap <= 5 for tap in self.taps):
            raise ValueError(f"taps lie in 0..5, found {self.taps}")
        if not 0 <= self.shapes_every <= 1:
            raise ValueError(f"shapes_every must lie in 0..1, found {self.shapes_every}")
        shares = self.linear_share, self.quantised_share, self.decoder_share
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"shares of a run must be 0..1 together, found {' + '.join(map(str, shares))}")

    def price_of_z(self, progress: float) -> float:
        """Share of the rate of z that the loss is charged at `progress`.

        Charged from the start, z falls silent before h_s has learned to listen, and does not recover.
        """
        if self.free_z <= 0:
            return 1.0
        return min(max(progress / self.free_z - 1.0, 0.0), 1.0)

    def rate(self, progress: float) -> float:
        """Learning rate at `progress` in 0..1 of the run, as a share of its peak."""
        if progress < self.warm_up:
            return max(progress / self.warm_up, 0.01)
        if self.milestones:
            step = round(progress * self.steps)
            return float(0.1 ** sum(step >= milestone for milestone in self.milestones))
        if progress < self.decay_from:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min((progress - self.decay_from) / (1 - self.decay_from), 1.0)))

    def phase(self, progress: float) -> Phase:
        """The part of the run that `progress` in 0..1 lies in."""
        if progress < self.linear_share:
            return "linear"
        if progress < 1 - self.quantised_share - self.decoder_share:
            return "full"
        if self.decoder_share > 0 and progress >= 1 - self.decoder_share:
            return "decoder"
        return "quantised" if self.quantised_share + self.decoder_share > 0 else "full"


_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "soap"),
    "latent_order": ("entropy", "teacher"),
    "precision": ("auto", "float32", "bfloat16"),
}

_PAPER = Recipe(  # Sec. 5.1; the norm of the gradient is clipped here too, of which the paper says nothing
    steps=180_000, milestones=(130_000, 160_000), batch=8, crop=384, optimizer="adam", lr=1e-4, side_lr=1e-4,
    shortcut_lr=1e-4, prior_lr=1e-4, warm_up=0.0, decay_from=0.0, linear_share=0.0, quantised_share=0.0, free_z=0.0,
    balance=0.0, ema=0.0, alpha=1.0, beta=0.5, gamma=0.5, shapes_every=0.0,
)  # fmt: skip
_FROM_WEIGHTS = Recipe(linear_share=0.0, free_z=0.0)

RECIPES: dict[str, Recipe] = {
    "train": Recipe(),
    "distill": Recipe(latent_order="teacher", relative=True),
    "finetune": replace(_FROM_WEIGHTS, lr=2e-4, side_lr=4e-4, shortcut_lr=5e-5, decay_from=0.1, quantised_share=0.5),
    "paper-teacher": _PAPER,  # stage 1
    "paper-distill": _PAPER,  # stage 2
    "paper-finetune": replace(  # stage 3; its last third is quantised, as every network that ships as integers needs
        _PAPER, steps=150_000, milestones=(50_000, 100_000), quantised_share=1 / 3
    ),
    "direct": _PAPER,  # Fig. 7: the student without a teacher
    "fu2024kd": replace(_PAPER, beta=0.0, gamma=0.0, delta=1.0),  # Fig. 7: output and probability distribution
}
"""Name → recipe, for `--recipe`. `direct` is stage 1 on a student: what differs is the network, not the recipe."""


def recipe_from(name: str, overrides: Mapping[str, Any]) -> Recipe:
    """A recipe by name with some fields replaced; FedsError for an unknown name, field or impossible value."""
    if name not in RECIPES:
        raise FedsError(f"{name}: no such recipe; known are {', '.join(RECIPES)}")
    return replaced(RECIPES[name], overrides)


def replaced(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with some fields replaced, where they are not None; FedsError for what a recipe cannot be."""
    known = {item.name for item in fields(Recipe)}
    if unknown := set(overrides) - known:
        raise FedsError(f"a recipe has no field {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in overrides.items() if v is not None}
    try:
        return replace(recipe, **values)
    except ValueError as error:
        raise FedsError(str(error)) from None

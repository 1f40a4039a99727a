"""`Recipe`: how a network is trained, as one frozen value; every field is a flag of `feds train` of the same name.

`RECIPES` has the named recipes: ours, which last a number of minutes, and those of the paper, which count steps. A
`Phase` is a part of a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from ..errors import FedsError


@dataclass(frozen=True)
class Phase:
    """A part of a run: what it trains, and whether the entropy side is quantised."""

    name: str
    trains: Literal["shortcut", "all", "g_s"]  # shortcut: the linear one, and the entropy side
    quantised: bool = False  # whether the entropy side runs with fake quantisation
    noise: bool = True  # whether noise stands for rounding in the rate
    fits: bool = True  # whether files may still change, so that tables are fitted
    taught: bool = True  # whether the teacher teaches, if there is one


LINEAR = Phase("linear", "shortcut")
FULL = Phase("full", "all")
QUANTISED = Phase("quantised", "all", quantised=True)
DECODER = Phase("decoder", "g_s", quantised=True, noise=False, fits=False)
PHASES = {phase.name: phase for phase in (LINEAR, FULL, QUANTISED, DECODER)}
"""Parts of a run by name, in their order; a run need not have all of them."""


def option(default: Any, help_text: str) -> Any:
    """A field of a frozen value that is also a flag of a command."""
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class Recipe:
    """A training run of `minutes`, or of `steps` if that is given.

    Shares are parts of the whole run. The first `linear_share` trains only the linear shortcut and the entropy side,
    which costs a quarter of a full step. In the last `quantised_share` the entropy side runs with fake quantisation,
    so that the integers that ship are tuned. A `decoder_share` after that trains g_s alone, which changes no file and
    costs half a step.

    The learning rate rises for `warm_up`, stays, and falls to zero along a cosine after `decay_from` (or in the last
    `decay_minutes`); with `milestones`, it falls to a tenth at each of these steps instead. Until it falls, the run
    is a trajectory that can continue without end; the fall produces the weights that ship.

    alpha, beta, gamma and delta are the weights of what a student learns from a teacher (Eq. 3), if there is one.
    After `taught_share` of the run the student learns by itself, which is stage 3 of the paper within one run.
    """

    minutes: float = option(30.0, "Length of the run in minutes.")
    steps: int = option(0, "Length of the run in steps, instead of minutes.")
    batch: int = option(8, "Crops per step, over all processes.")
    crop: int = option(192, "Side of a crop in pixels, a multiple of 64.")
    crops: tuple[int, ...] = option((), "Sides of larger crops for the last part of the run, one after the other.")
    crops_share: float = option(0.2, "Share of the run with the larger crops.")
    optimizer: Literal["adam", "soap", "muon"] = option("adam", "soap: for g_a and g_s; muon: for matrices.")
    precondition_every: int = option(10, "Steps between SOAP's decompositions.")
    lr: float = option(1.5e-3, "Peak learning rate of g_a and g_s.")
    side_lr: float = option(1.5e-3, "Learning rate of the entropy side, h_a and the gains.")
    rest_lr: float = option(1e-3, "Learning rate of biases, depthwise filters and gains; 0: that of their part.")
    shortcut_lr: float = option(1e-4, "Learning rate of the linear shortcut.")
    prior_lr: float = option(2e-2, "Learning rate of the prior of z.")
    warm_up: float = option(0.02, "Share of the run in which the learning rate rises.")
    decay_from: float = option(0.7, "Share of the run after which the learning rate falls; 1: never.")
    decay_minutes: float = option(0.0, "Minutes at the end in which the learning rate falls, instead of --decay-from.")
    milestones: tuple[int, ...] = option(
        (), "Steps at which the learning rate falls to a tenth, instead of a smooth fall."
    )
    linear_share: float = option(0.0, "First share of the run; trains only the linear shortcut and the entropy side.")
    quantised_share: float = option(0.12, "Last share of the run; the entropy side is fake-quantised.")
    decoder_share: float = option(0.0, "Share at the very end; trains only g_s, so files do not change.")
    free_z: float = option(0.05, "Share of the run in which z costs nothing; its cost then rises over an equal share.")
    balance: float = option(0.5, "Weight of a sample: (λ / λ of q4) to the power of -BALANCE; 0: all equal.")
    graphics: float = option(0.02, "Share of crops that are graphics, while the learning rate falls.")
    graphics_before: float = option(0.0, "Share of crops that are graphics, before the learning rate falls.")
    jitter: float = option(0.02, "Share of crops with random colours, while the learning rate falls.")
    alpha: float = option(1.0, "Weight of L_output (Eq. 4).")
    beta: float = option(0.5, "Weight of L_feature (Eq. 5).")
    gamma: float = option(0.5, "Weight of L_latent (Eq. 8).")
    delta: float = option(0.0, "Weight of the probability distribution (FU2024KD).")
    taught_share: float = option(1.0, "Share of the run in which the teacher teaches.")
    taps: tuple[int, ...] = option((0, 1, 2, 3, 4, 5), "Maps of g_a and g_s that L_feature compares.")
    latent_order: Literal["entropy", "teacher"] = option("entropy", "Order of the channels that L_latent compares.")
    relative: bool = option(False, "Measure L_feature and L_latent in units of the teacher's spread.")
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "Precision of g_a and g_s; auto: the fastest on the device."
    )
    compile: bool = option(False, "Run g_a and g_s through torch.compile.")
    clip: float = option(1.0, "Clip the gradient to this norm.")
    ema: float = option(0.998, "Decay of the moving average of the weights; the average is saved.")
    save_every: float = option(4.0, "Minutes between checkpoints.")
    shapes_every: float = option(0.02, "Share of the run between fits of the tables; 0: Gaussian tables.")
    seed: int = option(1, "Random seed.")

    def __post_init__(self) -> None:
        for item in fields(self):
            if (kind := _KINDS.get(str(item.type))) and not kind.holds(found := getattr(self, item.name)):
                raise ValueError(f"{item.name} must be {kind.name}, found {found!r}")
        for side in (self.crop, *self.crops):
            if side < 64 or side % 64:
                name = "crop" if side == self.crop else "crops"
                raise ValueError(f"{name} must be a positive multiple of 64, found {side}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be {', '.join(allowed[:-1])} or {allowed[-1]}, found {getattr(self, name)}"
                )
        if not 0 <= self.decay_from <= 1:
            raise ValueError(f"decay_from must lie in 0..1, found {self.decay_from}")
        for name in ("minutes", "clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name, least, most in (("batch", 1, 2**16), ("seed", 0, 2**63 - 1)):
            if not least <= (found := getattr(self, name)) <= most:
                raise ValueError(f"{name} must lie in {least}..{most}, found {found}")
        if any(milestone < 1 for milestone in self.milestones):
            raise ValueError(f"milestones must be positive, found {self.milestones}")
        if self.steps < 0 or self.precondition_every < 1:
            found = f"{self.steps} and {self.precondition_every}"
            raise ValueError(f"steps must not be negative and precondition_every be positive, found {found}")
        if self.milestones and not self.steps:
            raise ValueError(f"milestones need a run of steps, found {self.milestones} without steps")
        if self.decay_minutes and self.steps:
            raise ValueError(f"decay_minutes needs a run of minutes, found {self.steps} steps")
        if self.decay_minutes and not 0 < self.decay_minutes <= self.minutes:
            raise ValueError(
                f"decay_minutes must lie in 0..{self.minutes:g}, the minutes of the run, found {self.decay_minutes}"
            )
        if any(not 0 <= tap <= 5 for tap in self.taps):
            raise ValueError(f"taps must lie in 0..5, found {self.taps}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, found {getattr(self, name)}")
        shares = self.linear_share, self.quantised_share, self.decoder_share
        if min(shares) < 0 or sum(shares) > 1:
            found = " + ".join(map(str, shares))
            raise ValueError(f"linear_share, quantised_share and decoder_share must add up to 0..1, found {found}")
        for item in fields(self):
            if item.type in ("int", "float") and not 0 <= (found := getattr(self, item.name)) < math.inf:
                raise ValueError(f"{item.name} must be 0 or more, found {found}")

    def price_of_z(self, progress: float) -> float:
        """Share of the rate of z that the loss includes at `progress`.

        With the full rate from the start, z becomes constant before h_s has learned to use it, and does not recover.
        """
        if self.free_z <= 0:
            return 1.0
        return min(max(progress / self.free_z - 1.0, 0.0), 1.0)

    @property
    def falls_at(self) -> float:
        """The point of the run, 0..1, where the learning rate begins to fall."""
        if self.milestones:
            return min(self.milestones) / self.steps
        return 1 - self.decay_minutes / self.minutes if self.decay_minutes else self.decay_from

    @property
    def ends_at(self) -> float:
        """The point of the run after which no trajectory continues: a falling learning rate, integers, larger crops."""
        last = 1 - self.quantised_share - self.decoder_share
        return min(self.falls_at, last, 1 - self.crops_share if self.crops else 1.0)

    def rate(self, progress: float) -> float:
        """Learning rate at `progress` in 0..1 of the run, as a share of its peak."""
        if progress < self.warm_up:
            return max(progress / self.warm_up, 0.01)
        if self.milestones:
            step = round(progress * self.steps)
            return float(0.1 ** sum(step >= milestone for milestone in self.milestones))
        if progress < self.falls_at or self.falls_at == 1:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min((progress - self.falls_at) / (1 - self.falls_at), 1.0)))

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of all crops of the run."""
        return (self.crop, *self.crops) if self.crops_share else (self.crop,)

    def crop_at(self, progress: float) -> int:
        """Side of the crops at `progress`; the larger ones share the last `crops_share` evenly."""
        begin = 1 - self.crops_share
        if not self.crops or progress < begin:
            return self.crop
        number = int((progress - begin) / max(self.crops_share, 1e-9) * len(self.crops))
        return self.crops[min(number, len(self.crops) - 1)]

    def batch_at(self, crop: int, processes: int) -> int:
        """Crops of a step at this side: about the same number of pixels, shared evenly by the processes."""
        if crop == self.crop:
            return self.batch
        return processes * max(round(self.batch * (self.crop / crop) ** 2 / processes), 1)

    def phase(self, progress: float) -> Phase:
        """The part of the run that `progress` in 0..1 lies in."""
        phase = self._phase(progress)
        return phase if progress < self.taught_share or self.taught_share == 1 else replace(phase, taught=False)

    def parts(self) -> list[tuple[Phase, float]]:
        """The parts of the run in order, each with its share of it."""
        last = 1 - self.decoder_share
        ends = {0.0, self.linear_share, self.taught_share, last - self.quantised_share, last, 1.0}
        return [(self.phase((a + b) / 2), b - a) for a, b in pairwise(sorted(ends)) if b - a > 1e-9]

    def _phase(self, progress: float) -> Phase:
        if progress < self.linear_share:
            return LINEAR
        if progress < 1 - self.quantised_share - self.decoder_share:
            return FULL
        if self.decoder_share > 0 and progress >= 1 - self.decoder_share:
            return DECODER
        return QUANTISED if self.quantised_share + self.decoder_share > 0 else FULL


class _Kind(NamedTuple):
    name: str
    holds: Callable[[Any], bool]


_KINDS = {
    "int": _Kind("a whole number", lambda value: type(value) is int),
    "float": _Kind("a number", lambda value: type(value) in (int, float)),
    "bool": _Kind("true or false", lambda value: type(value) is bool),
    "tuple[int, ...]": _Kind(
        "a list of whole numbers", lambda value: type(value) is tuple and all(type(one) is int for one in value)
    ),
}
"""What a field of each type may hold."""
_SHARES = (
    "shapes_every", "crops_share", "graphics", "graphics_before", "jitter", "taught_share", "warm_up", "free_z", "ema",
)  # fmt: skip
LESSON = ("alpha", "beta", "gamma", "delta", "taught_share", "taps", "latent_order", "relative")
"""Fields about learning from a teacher."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adam", "soap", "muon"),
    "latent_order": ("entropy", "teacher"),
    "precision": ("auto", "float32", "bfloat16"),
}

_PAPER = Recipe(  # Sec. 5.1; the norm of the gradient is clipped here too, of which the paper says nothing
    steps=180_000, milestones=(130_000, 160_000), batch=8, crop=384, optimizer="adam", lr=1e-4, side_lr=1e-4,
    rest_lr=0.0, shortcut_lr=1e-4, prior_lr=1e-4, warm_up=0.0, decay_from=0.0, linear_share=0.0, quantised_share=0.0,
    free_z=0.0, balance=0.0, ema=0.0, alpha=1.0, beta=0.5, gamma=0.5, shapes_every=0.0, graphics=0.0, jitter=0.0,
)  # fmt: skip
_GOES_ON: dict[str, Any] = {"linear_share": 0.0, "free_z": 0.0}

RECIPES: dict[str, Recipe] = {
    "train": Recipe(),
    "relay": Recipe(minutes=600.0, decay_from=1.0, quantised_share=0.0, shapes_every=0.0),
    "branch": Recipe(
        **_GOES_ON, decay_from=0.0, crops=(256, 384), crops_share=0.3, quantised_share=0.3, shapes_every=0.1
    ),
    "distill": Recipe(latent_order="teacher", relative=True),
    "finetune": Recipe(
        **_GOES_ON,
        lr=2e-4,
        side_lr=4e-4,
        rest_lr=0.0,
        shortcut_lr=5e-5,
        warm_up=0.02,
        decay_from=0.1,
        quantised_share=0.5,
    ),
    "soap": Recipe(  # what trained the paper-size student
        crop=256, optimizer="soap", lr=5e-4, side_lr=1e-3, rest_lr=0.0, decay_from=0.4, linear_share=0.15, free_z=0.1
    ),
    "muon": Recipe(optimizer="muon", lr=3e-3, side_lr=3e-3),
    "paper-teacher": _PAPER,  # stage 1
    "paper-distill": _PAPER,  # stage 2
    "paper-finetune": replace(  # stage 3; its last third is quantised, as every network that ships as integers needs
        _PAPER, steps=150_000, milestones=(50_000, 100_000), quantised_share=1 / 3
    ),
    "direct": _PAPER,  # Fig. 7: the student without a teacher
    "fu2024kd": replace(_PAPER, beta=0.0, gamma=0.0, delta=1.0),  # Fig. 7: output and probability distribution
}
"""Name → recipe, for `--recipe`. `direct` is stage 1 on a student: the network differs, not the recipe.

`relay` is a trajectory at a constant learning rate, and `branch` is the fall that turns it into weights that ship, see
docs/training.md.
"""


def recipe_from(name: str, overrides: Mapping[str, Any]) -> Recipe:
    """A recipe by name with some fields replaced. Raises FedsError for an unknown name, field or invalid value."""
    if name not in RECIPES:
        raise FedsError(f"{name}: no such recipe; known are {', '.join(RECIPES)}")
    return with_options(RECIPES[name], overrides)


def with_options(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """`replaced`, which also refuses minutes for a run that counts steps."""
    minutes, steps = options.get("minutes"), options.get("steps", recipe.steps)
    if minutes is not None and steps:
        raise FedsError(f"a run has a length in minutes or in steps, found {minutes:g} minutes and {steps} steps")
    return replaced(recipe, options)


def replaced(recipe: Recipe, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe with some fields replaced if they are not None. Raises FedsError for an invalid recipe."""
    known = {item.name for item in fields(Recipe)}
    if unknown := set(overrides) - known:
        raise FedsError(f"a recipe has no field {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in overrides.items() if v is not None}
    try:
        return replace(recipe, **values)
    except ValueError as error:
        raise FedsError(str(error)) from None

"""The three stages (Sec. 3.3) as step functions: the cost of a batch, but not how it is lowered.

    stage 1    the teacher by itself                   `Alone`       Eq. 1
    stage 2    the student, taught by the teacher      `Distilled`   Eq. 2–8; FU2024KD with other weights (Fig. 7)
    stage 3    the student by itself, on its integers  `Alone`       Eq. 1

They are modules because some have something of their own to train (projections), and because what several processes
share is a module. A phase is a part of one run, see `Recipe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..entropy.coders import EntropyProbe, RateEstimator
from ..entropy.parts import Part, assemble
from ..errors import FedsError
from ..networks.model import FedsModel, Output
from ..networks.spec import ModelSpec
from . import losses
from .losses import Gaussian, RateDistortion
from .recipe import Phase, Recipe

FIGURES = ("loss", "bpp", "mse", "output", "feature", "latent", "distribution")
"""The figures of a step, in this order: the sum of Eq. 1, and the parts of L_KD before their weights."""


Show = Iterable[tuple[Tensor, Tensor]]
"""Batches of pictures and their qualities."""


class Cost(NamedTuple):
    """The cost of a batch: the loss to lower, and the FIGURES for the log, without gradients."""

    loss: Tensor
    figures: Tensor  # [len(FIGURES)]


class Alone(nn.Module):
    """Stages 1 and 3: R + λ·D of one network (Eq. 1)."""

    def __init__(self, model: FedsModel, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.register_buffer("lambdas", torch.tensor(model.spec.lambdas), persistent=False)

    def prepare(self, show: Show, mean: Callable[[Tensor], Tensor]) -> None:
        """Do nothing: nothing must be known before the first step."""

    def forward(self, x: Tensor, quality: Tensor, phase: Phase, price_of_z: float) -> Cost:
        """The cost of pictures x [B, 3, H, W] at qualities [B], with z charged at that share of its rate."""
        return _cost_alone(self, x, quality, phase, price_of_z)


class Survey(NamedTuple):
    """What a teacher gives for some pictures: H_c (Eq. 6), and the spread of its latents (without gains) and maps."""

    entropies: Tensor  # [C_t]
    latent_variances: Tensor  # [C_t]
    map_variances: Tensor  # [sum of the taps' channels], one map after the other


class Distilled(nn.Module):
    """Stage 2: R + λ·D of the student and L_KD (Eq. 2–3), with the teacher run on the same pictures at the same λ.

    Raises FedsError if the teacher does not cover the student's λ or has fewer latents than the student.
    """

    def __init__(self, model: FedsModel, teacher: FedsModel, recipe: Recipe) -> None:
        super().__init__()
        require_fit(teacher.spec, model.spec)
        self.model, self.recipe = model, recipe
        self.teacher = teacher.eval().requires_grad_(False)
        self.projections = projections(model.spec, teacher.spec, recipe.taps)
        self.widths = [teacher.spec.tap_widths[tap] for tap in recipe.taps]
        self.register_buffer("lambdas", torch.tensor(model.spec.lambdas), persistent=False)
        self.register_buffer("teacher_lambdas", torch.tensor(teacher.spec.lambdas), persistent=False)
        self.register_buffer("channels", torch.arange(model.spec.latents))  # c_1 … c_Cs of Eq. 7, once chosen
        self.register_buffer("latent_unit", torch.ones(teacher.spec.latents))
        self.register_buffer("map_units", torch.ones(sum(self.widths)))

    def train(self, mode: bool = True) -> Distilled:
        """Switch the student's mode; the teacher always stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def prepare(self, show: Show, mean: Callable[[Tensor], Tensor]) -> None:
        """Run the teacher on some pictures before the first step, and fix what it is compared by (Eq. 6–7).

        show: pictures and qualities, evenly spread; mean: that over all processes.
        """
        found = [self.survey(x, quality) for x, quality in show]
        means = (mean(torch.stack(values).mean(0)) for values in zip(*found, strict=True))
        self.choose(Survey(*means))

    @torch.no_grad()
    def survey(self, x: Tensor, quality: Tensor) -> Survey:
        """The statistics of the teacher for pictures x at the student's qualities."""
        spec, lam = self.teacher.spec, losses.interpolated_lambda(quality, self.lambdas)
        shapes = self.teacher.float_side.shapes
        probe = EntropyProbe(spec.scales, spec.smallest_scale, spec.largest_scale, shapes=shapes)
        output = self.teacher(x, self._teachers_quality(lam), probe)
        _, inverse = self.teacher.gains(self._teachers_quality(lam))
        variances = torch.cat([output.taps[t].float().var((0, 2, 3)) for t in self.recipe.taps])
        return Survey(probe.channel_entropies, (output.y_hat * inverse).var((0, 2, 3)), variances)

    def choose(self, survey: Survey) -> None:
        """Fix the channels for the student's latents (Eq. 7), and the units of comparisons.

        Channels with little spread are not amplified: no unit is less than a quantisation step of a fresh network, or
        than a tenth of the spread of the whole map.
        """
        self.channels = losses.top_channels(survey.entropies, self.model.spec.latents, self.recipe.latent_order)
        if self.recipe.relative:
            self.latent_unit = survey.latent_variances.sqrt().clamp_min(1.0)
            maps = survey.map_variances.split(self.widths)
            self.map_units = torch.cat([torch.maximum(v.sqrt(), 0.1 * v.mean().sqrt()) for v in maps])

    def forward(self, x: Tensor, quality: Tensor, phase: Phase, price_of_z: float) -> Cost:
        """Like `Alone`, plus the losses from the teacher while it teaches."""
        if not phase.taught:
            return _cost_alone(self, x, quality, phase, price_of_z)
        lam = losses.interpolated_lambda(quality, self.lambdas)
        taught = _Seen(self.teacher, self.recipe)
        with torch.no_grad():
            taught.look(self.teacher, x, self._teachers_quality(lam), noise=False)
        seen = _Seen(self.model, self.recipe)
        seen.look(pass_of(self.model, phase), x, quality, noise=phase.noise)
        cost, free = _own_cost(self, x, seen.output, seen.coder, lam, price_of_z)
        parts = self._knowledge(taught, seen, lam)
        weights = _weights(self.recipe)
        learned = sum((weights[name] * part for name, part in parts.items()), torch.zeros_like(cost.loss))
        return Cost(cost.loss - free + learned, _figures(cost, parts))

    def _knowledge(self, taught: _Seen, seen: _Seen, lam: Tensor) -> dict[str, Tensor]:
        """Those parts of L_KD (Eq. 3) that have a weight; the linear phase has no maps to compare."""
        weights, parts = _weights(self.recipe), dict[str, Tensor]()
        spec, recipe = self.model.spec, self.recipe
        if weights["output"]:
            shares = losses.sample_weights(lam, recipe.balance, spec.middle_lambda)
            pictures = taught.output.x_hat, seen.output.x_hat
            parts["output"] = losses.output_loss(*pictures, lam, shares, spec.metric)
        if weights["feature"] and seen.output.taps:
            own = [project(seen.output.taps[t]) for t, project in zip(recipe.taps, self.projections, strict=True)]
            maps = [taught.output.taps[t] for t in recipe.taps]
            units = [unit[:, None, None] for unit in self.map_units.split(self.widths)]
            parts["feature"] = losses.feature_loss(_over(maps, units), _over(own, units))
        if weights["latent"]:
            latents = taught.latents[:, self.channels], seen.latents
            units = [self.latent_unit[self.channels, None, None]] * 2
            parts["latent"] = losses.latent_loss(*_over(latents, units))
        if weights["distribution"]:
            chosen = Gaussian(*(part[:, self.channels] for part in taught.gaussian))
            parts["distribution"] = losses.distribution_loss(chosen, seen.gaussian)
        return parts

    def _teachers_quality(self, lam: Tensor) -> Tensor:
        return losses.quality_of_lambda(lam, self.teacher_lambdas)


class GaussianKeeper(RateEstimator):
    """Keeps means and scales of every part, in quantisation steps."""

    def __init__(
        self, count: int, smallest: float, largest: float, *, noise: bool = True, shapes: Tensor | None = None
    ) -> None:  # fmt: skip
        super().__init__(count, smallest, largest, noise=noise, shapes=shapes)
        self._parts: list[Part] = []
        self._gaussians: list[Gaussian] = []

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """Keep the prediction for the part, and estimate its rate."""
        self._parts.append(part)
        self._gaussians.append(Gaussian(mean, torch.exp(self.log_smallest + index * self.log_step)))
        return super().code(part, y, mean, index)

    @property
    def gaussian(self) -> Gaussian:
        """Means and scales of all channels [B, M, H/16, W/16]."""
        blocks, channels = zip(*self._gaussians, strict=True), self._parts[-1].channels[1]
        return Gaussian(*(assemble(self._parts, each, channels).permute(0, 3, 1, 2) for each in blocks))


class _Seen:
    """A pass through a network, and its latents and their predictions in units that do not depend on the quality."""

    def __init__(self, model: FedsModel, recipe: Recipe) -> None:
        self.model = model
        self.kind = GaussianKeeper if recipe.delta else RateEstimator

    def look(self, forward: Callable[..., Output], x: Tensor, quality: Tensor, *, noise: bool) -> None:
        self.coder = estimator(self.kind, self.model, noise=noise)
        self.output = forward(x, quality, self.coder)
        _, self.inverse = self.model.gains(quality)

    @property
    def latents(self) -> Tensor:
        return self.output.y_hat * self.inverse

    @property
    def gaussian(self) -> Gaussian:
        if not isinstance(self.coder, GaussianKeeper):
            raise TypeError("only a GaussianKeeper has Gaussians")
        return Gaussian(*(part * self.inverse for part in self.coder.gaussian))


Stage = Alone | Distilled


def pass_of(model: FedsModel, phase: Phase) -> Callable[..., Output]:
    """The function that runs a network in a phase."""
    passes: dict[str, Callable[..., Output]] = {"shortcut": model.linear, "g_s": model.decoder_only, "all": model}
    return passes[phase.trains]


def projections(student: ModelSpec, teacher: ModelSpec, taps: Sequence[int]) -> nn.ModuleList:
    """Layers that make the student's maps comparable with the teacher's: none, or a 1×1 convolution if widths differ.

    Raises FedsError if the two have no common maps.
    """
    ours, theirs = student.tap_widths, teacher.tap_widths
    if len(ours) != len(theirs) or max(taps, default=0) >= len(ours):
        raise FedsError(f"maps {', '.join(map(str, taps))} of {len(theirs)} cannot teach a student with {len(ours)}")
    pairs = [(ours[tap], theirs[tap]) for tap in taps]
    return nn.ModuleList(nn.Identity() if a == b else nn.Conv2d(a, b, 1) for a, b in pairs)


def require_fit(teacher: ModelSpec, student: ModelSpec) -> None:
    """Raise FedsError if one cannot teach the other."""
    if teacher.latents < student.latents:
        raise FedsError(f"a teacher of {teacher.latents} latents cannot teach a student of {student.latents}")
    if teacher.metric != student.metric:
        raise FedsError(f"the teacher was trained for {teacher.metric}, the student is for {student.metric}")
    ends = student.lambdas[0], student.lambdas[-1]
    if ends[0] < teacher.lambdas[0] * 0.999 or ends[1] > teacher.lambdas[-1] * 1.001:
        knows = f"{teacher.lambdas[0]:g} … {teacher.lambdas[-1]:g}"
        raise FedsError(f"the teacher covers λ of {knows}, but the student needs {ends[0]:g} … {ends[1]:g}")


def _weights(recipe: Recipe) -> dict[str, float]:
    return {"output": recipe.alpha, "feature": recipe.beta, "latent": recipe.gamma, "distribution": recipe.delta}


def estimator(kind: type[RateEstimator], model: FedsModel, *, noise: bool) -> RateEstimator:
    """A coder that estimates the rate of a network, with the current shapes of its residuals."""
    spec = model.spec
    return kind(spec.scales, spec.smallest_scale, spec.largest_scale, noise=noise, shapes=model.float_side.shapes)


def _over(maps: Sequence[Tensor], units: Sequence[Tensor]) -> list[Tensor]:
    return [values.float() / unit for values, unit in zip(maps, units, strict=True)]


def _cost_alone(stage: Alone | Distilled, x: Tensor, quality: Tensor, phase: Phase, price_of_z: float) -> Cost:
    lam = losses.interpolated_lambda(quality, stage.lambdas)
    coder = estimator(RateEstimator, stage.model, noise=phase.noise)
    output = pass_of(stage.model, phase)(x, quality, coder)
    cost, free = _own_cost(stage, x, output, coder, lam, price_of_z)
    return Cost(cost.loss - free, _figures(cost, {}))


def _own_cost(
    stage: Alone | Distilled, x: Tensor, output: Output, coder: RateEstimator, lam: Tensor, price_of_z: float
) -> tuple[RateDistortion, Tensor]:
    """Eq. 1 of the network in training, and the part that is not charged, because z is still free."""
    spec = stage.model.spec
    weights = losses.sample_weights(lam, stage.recipe.balance, spec.middle_lambda)
    cost = losses.rate_distortion(x, output.x_hat, coder.bits, lam, weights, spec.metric)
    free = (1 - price_of_z) * (weights * coder.bits_z).mean() / (x.shape[2] * x.shape[3])
    return cost, free


def _figures(cost: RateDistortion, parts: dict[str, Tensor]) -> Tensor:
    zero = torch.zeros_like(cost.loss)
    values = [cost.loss, cost.bpp.mean(), cost.mse.mean(), *(parts.get(name, zero) for name in FIGURES[3:])]
    return torch.stack([v.detach().float() for v in values])

"""Which optimizer moves which weights, and how a step whose gradient is not finite is left out.

Nothing here waits for a GPU: whether a step counts is decided on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .recipe import Recipe

KINDS = ("transforms", "shortcut", "side", "prior")


class Optimizers:
    """SOAP or Adam for the transforms; Adam for the rest.

    The matrices of the entropy side are too wide to precondition. The shortcuts start as principal components, whose
    entries are small and already right, so they move at a slower pace of their own.
    """

    def __init__(self, stage: nn.Module, recipe: Recipe) -> None:
        self.recipe = recipe
        self.parameters = [p for p in stage.parameters() if p.requires_grad]
        self.all = list(_optimizers(stage, recipe))

    def step(self, rate: float) -> Tensor:
        """Clip the gradients and move the weights, at a share of the peak learning rates.

        Returns whether the gradients were not finite, in which case the weights stay: bool [], on the device.
        """
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        bad = ~torch.isfinite(norm)
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
            if isinstance(optimizer, torch.optim.Adam):
                # What a gradient scaler sets, too: the fused step then does nothing.
                optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
                optimizer.step()
            else:
                _guarded_step(optimizer, bad)
        return bad

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of all optimizers, in a fixed order."""
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Put back what `state_dict` gave; peak learning rates stay those of the recipe."""
        for optimizer, state in zip(self.all, states, strict=True):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak


@torch.no_grad()
def _guarded_step(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """A step after which the weights are what they were if `bad`; the optimizer then saw a gradient of zero."""
    moved = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    before = [torch.empty_like(p) for p in moved]
    if moved:
        torch._foreach_copy_(before, moved)
    for parameter in moved:
        parameter.grad.masked_fill_(bad, 0.0)
    optimizer.step()
    for parameter, value in zip(moved, before, strict=True):
        torch.where(bad, value, parameter, out=parameter.data)


def kind_of(name: str) -> str:
    """Which of the KINDS a parameter of a stage is, by its name."""
    if ".prior." in name:
        return "prior"
    if ".shortcut." in name:
        return "shortcut"
    own = name.removeprefix("model.")
    return "side" if own.startswith(("float_side.", "h_a.", "gains.", "projections.")) else "transforms"


def _optimizers(stage: nn.Module, recipe: Recipe) -> Iterator[torch.optim.Optimizer]:
    groups: dict[str, list[nn.Parameter]] = {kind: [] for kind in KINDS}
    for name, parameter in stage.named_parameters():
        if parameter.requires_grad:
            groups[kind_of(name)].append(parameter)
    peaks = {"transforms": recipe.lr, "shortcut": recipe.shortcut_lr, "side": recipe.side_lr, "prior": recipe.prior_lr}
    by_kind = {kind: {"params": groups[kind], "peak": peaks[kind], "lr": peaks[kind]} for kind in KINDS}
    slow = [group for kind, group in by_kind.items() if group["params"] and kind != "transforms"]
    if recipe.optimizer == "adam":
        yield torch.optim.Adam([*slow, by_kind["transforms"]], fused=True)
    else:
        from pytorch_optimizer import SOAP

        yield torch.optim.Adam(slow, fused=True)
        yield SOAP(
            [by_kind["transforms"]], betas=(0.95, 0.95), precondition_frequency=recipe.precondition_every,
            max_precondition_dim=1024,
        )  # fmt: skip

"""Choose an optimizer for each parameter, and skip a step whose gradient is not finite.

    kind         what                                       adam    soap    muon
    transforms   matrices and filters of g_a and g_s        Adam    SOAP    Muon
    side         those of h_a and of the entropy side       Adam    Adam    Muon
    rest         biases, depthwise filters, gains, scales   Adam    Adam    Adam
    shortcut     the linear shortcut                        Adam    Adam    Adam
    prior        the prior of z                             Adam    Adam    Adam

Muon takes what is a matrix of each. Shortcuts start as principal components, whose entries
are small and already right, so they move at a slower pace of their own; logarithms of scales in the prior must travel
by whole units. Where several processes share the work, each moves some of the parameters. Nothing here waits for a GPU:
whether a step counts is decided on the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import FedsError
from .parallel import Team
from .recipe import Recipe
from .soap import WIDEST, soap

_SETTINGS = ("params", "lr", "peak")
"""Settings of a group that come from the recipe, not from the state."""


@dataclass(frozen=True)
class _Named:
    """A parameter that this process updates; `moved` is the same memory as the optimizer sees it."""

    name: str
    parameter: nn.Parameter
    moved: nn.Parameter


class Optimizers:
    """The optimizers of one process, for its share of the parameters; precision: that of the transforms."""

    def __init__(
        self, stage: nn.Module, recipe: Recipe, team: Team | None = None, precision: torch.dtype = torch.float32
    ) -> None:  # fmt: skip
        self.recipe, self.team = recipe, team or Team()
        named = {name: p for name, p in stage.named_parameters() if p.requires_grad}
        self.parameters = list(named.values())
        chosen = self.team.mine({name: _cost(name, p, recipe) for name, p in named.items()})
        self.named = [_Named(n, p, _as_moved(n, p, recipe)) for n, p in named.items() if n in chosen]
        self.moved = {id(item.parameter) for item in self.named}
        self.all = list(_optimizers(self.named, recipe, precision))

    def step(self, rate: float) -> Tensor:
        """Clip the gradients and update the weights, at a share of the peak learning rates.

        Returns whether the gradients were not finite, in which case the weights do not change: bool [], on the device.
        """
        self.team.exchange(self.parameters, self.moved)
        used = [item for item in self.named if item.parameter.grad is not None]
        grads = [item.parameter.grad for item in used if item.parameter.grad is not None]
        norm = self._norm(grads)
        bad = ~torch.isfinite(norm)
        if grads:
            torch._foreach_mul_(grads, (self.recipe.clip / (norm + 1e-6)).clamp_max(1.0))
        for item in self.named:
            if item.moved is not item.parameter:
                grad = item.parameter.grad
                item.moved.grad = None if grad is None else grad.reshape(item.moved.shape)
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

    def _norm(self, grads: Sequence[Tensor]) -> Tensor:
        device = self.parameters[0].device
        own = torch.stack(torch._foreach_norm(list(grads))).square().sum() if grads else torch.zeros((), device=device)
        return self.team.squared_norm(own).sqrt()

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for parameter in self.parameters:
            parameter.grad = None
        for item in self.named:
            item.moved.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The state by name of parameter, whichever process updates it; a collective call, for the leader."""
        names = {id(item.moved): item.name for item in self.named}
        kinds, moments, groups = {}, {}, {}
        for optimizer in self.all:
            kind = type(optimizer).__name__
            for group in optimizer.param_groups:
                own = {k: v for k, v in group.items() if k not in _SETTINGS}
                groups[kind] = {k: v for k, v in own.items() if k == "step"}
                for p in group["params"]:
                    if state := optimizer.state.get(p):
                        kinds[names[id(p)]], moments[names[id(p)]] = kind, dict(state)
        merged: dict[str, Any] = {"kinds": {}, "moments": {}, "groups": {}}
        for part in self.team.gather({"kinds": kinds, "moments": moments, "groups": groups}):
            for name, values in part.items():
                merged[name].update(values)
        return merged

    def load_state_dict(self, state: Mapping[str, Any], without: Set[str] = frozenset()) -> None:
        """Restore what `state_dict` returned, for the parameters that still have the same kind of optimizer.

        without: names of parameters that have changed their shape.
        """
        names = {id(item.moved): item.name for item in self.named}
        for optimizer in self.all:
            kind = type(optimizer).__name__
            for group in optimizer.param_groups:
                group.update(state["groups"].get(kind, {}))
                for p in group["params"]:
                    name = names[id(p)]
                    if state["kinds"].get(name) == kind and name not in without:
                        optimizer.state[p] = _copied(state["moments"][name], p)


def _copied(state: Mapping[str, Any], parameter: Tensor) -> dict[str, Any]:
    """Moments of a parameter on its device; the fused step needs its counter there, too."""
    return {k: _on(v, parameter.device) for k, v in state.items()}


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone().to(device)
    return [_on(item, device) for item in value] if isinstance(value, list) else value


@torch.no_grad()
def _guarded_step(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
    """A step that leaves the weights unchanged if `bad`; the optimizer then sees a gradient of zero."""
    moved = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    before = [torch.empty_like(p) for p in moved]
    if moved:
        torch._foreach_copy_(before, moved)
    for parameter in moved:
        parameter.grad.masked_fill_(bad, 0.0)
    optimizer.step()
    for parameter, value in zip(moved, before, strict=True):
        torch.where(bad, value, parameter, out=parameter.data)


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is the matrix of a linear layer or of a 1×1 convolution."""
    return parameter.ndim == 2 or (parameter.ndim == 4 and parameter.shape[2:] == (1, 1) and parameter.shape[1] > 1)


def kind_of(name: str, parameter: Tensor) -> str:
    """The kind of a parameter of a stage: transforms, side, rest, shortcut or prior."""
    own = name.removeprefix("model.")
    parts = own.split(".")
    if "prior" in parts:
        return "prior"
    if "shortcut" in parts:
        return "shortcut"
    if {"gains", "scales", "gdn", "igdn"} & set(parts) or parameter.ndim < 2 or _is_depthwise(parameter):
        return "rest"
    return "side" if parts[0] in ("float_side", "h_a", "projections") else "transforms"


def _is_depthwise(parameter: Tensor) -> bool:
    return parameter.ndim == 3 or (parameter.ndim == 4 and parameter.shape[1] == 1)


def _part_of(name: str) -> str:
    """The kind whose learning rate `rest` takes if it has none of its own."""
    own = name.removeprefix("model.")
    return "side" if own.startswith(("float_side.", "h_a.", "gains.", "projections.")) else "transforms"


def _peak(kind: str, name: str, recipe: Recipe) -> float:
    peaks = {"transforms": recipe.lr, "shortcut": recipe.shortcut_lr, "side": recipe.side_lr, "prior": recipe.prior_lr}
    if kind == "rest":
        return recipe.rest_lr or peaks[_part_of(name)]
    return peaks[kind]


def _mover(kind: str, name: str, parameter: Tensor, recipe: Recipe) -> str:
    """The optimizer of a parameter: adam, soap or muon."""
    if recipe.optimizer == "soap" and kind == "transforms":
        return "soap"
    if recipe.optimizer == "muon" and kind in ("transforms", "side") and is_matrix(parameter):
        return "muon"
    return "adam"


def _cost(name: str, parameter: Tensor, recipe: Recipe) -> float:
    """The rough cost of a step for a parameter, in numbers touched."""
    mover, sides = _mover(kind_of(name, parameter), name, parameter, recipe), parameter.shape
    if mover == "muon":
        return float(parameter.numel() * min(sides[:2]))
    return float(parameter.numel() * (sum(side for side in sides if side <= WIDEST) if mover == "soap" else 1))


def _as_moved(name: str, parameter: nn.Parameter, recipe: Recipe) -> nn.Parameter:
    """The parameter, or for Muon and SOAP the matrix of a 1×1 convolution: a view, the same memory."""
    is_by_matrix = _mover(kind_of(name, parameter), name, parameter, recipe) != "adam" and is_matrix(parameter)
    if not is_by_matrix or parameter.ndim == 2:
        return parameter
    return nn.Parameter(parameter.detach().view(parameter.shape[0], -1))


def _optimizers(named: Sequence[_Named], recipe: Recipe, precision: torch.dtype) -> Iterator[torch.optim.Optimizer]:
    groups: dict[str, dict[float, list[nn.Parameter]]] = {"adam": {}, "soap": {}, "muon": {}}
    for item in named:
        kind = kind_of(item.name, item.parameter)
        mover = _mover(kind, item.name, item.parameter, recipe)
        groups[mover].setdefault(_peak(kind, item.name, recipe), []).append(item.moved)
    by_mover = {
        mover: [{"params": ps, "peak": lr, "lr": lr} for lr, ps in own.items()] for mover, own in groups.items()
    }
    if by_mover["adam"]:
        yield torch.optim.Adam(by_mover["adam"], fused=True)
    if by_mover["soap"]:
        yield soap(by_mover["soap"], recipe.precondition_every, precision)
    if by_mover["muon"]:
        yield _muon(by_mover["muon"])


def _muon(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Muon with steps of the size of Adam's. Raises FedsError if torch is too old for it."""
    kind = getattr(torch.optim, "Muon", None)
    if kind is None:
        raise FedsError(f"--optimizer muon needs torch 2.9 or later, found {torch.__version__}")
    muon: torch.optim.Optimizer = kind(groups, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return muon

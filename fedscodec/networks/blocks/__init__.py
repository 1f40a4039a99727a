"""The kinds of blocks for the stages of g_a and g_s, one file each; `KINDS` is their registry."""

from __future__ import annotations

from torch import nn

from ..stages import Kind
from .light import Light
from .mixed import LightMixed, Mixed
from .residual import Residual

KINDS: dict[str, Kind[nn.Module, nn.Module]] = {
    "light": Light(),
    "light-mixed-v1": LightMixed("swin-v1"),
    "light-mixed-v2": LightMixed("swin-v2"),
    "residual": Residual(),
    "mixed-v1": Mixed("swin-v1"),
    "mixed-v2": Mixed("swin-v2"),
}
"""The name in a `Stage` → its kind."""


def kind_of(name: str) -> Kind[nn.Module, nn.Module]:
    """The kind with a name. Raises ValueError for an unknown one."""
    if name not in KINDS:
        raise ValueError(f"the kind of a stage is one of {', '.join(KINDS)}, found {name!r}")
    return KINDS[name]

"""`Job`: what one call of `feds train`, `distill` or `finetune` is to do; every field is a flag of the same name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..metrics.table import LOSSES
from .recipe import RECIPES


def _flag(default: Any, help_text: str, name: str | None = None, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "name": name, "metavar": metavar})


def _required(help_text: str) -> Any:
    return field(metadata={"help": help_text})


@dataclass(frozen=True)
class Job:
    """What one call of a command is to do."""

    data: list[Path] = _required("A folder or .tar of pictures; may be given again.")
    out: Path = _required("The .safetensors file to write; log, curve and state stand beside it.")
    recipe: str = _flag("train", f"Where the fields below start from: {', '.join(RECIPES)}.", metavar="NAME")
    overrides: dict[str, Any] = field(default_factory=dict)  # fields of the recipe, each a flag of its own
    network: str | None = _flag(None, "A variant that `feds models --all` lists.  [default: student]")
    init: Path | None = _flag(None, "Weights to start from.")
    source: Path | None = _flag(
        None, "The state of a run to start from: weights, averages, moments, pixels seen.", "--from", "STATE"
    )
    teacher: Path | None = _flag(None, "Weights of the teacher, a checkpoint or as shipped.")
    lam: float | None = _flag(None, "Train for this λ alone, in place of q1 … q7.", "--lambda")
    metric: str | None = _flag(None, "What distortion is.  [default: mse]", metavar="|".join(LOSSES))
    cache: Path | None = _flag(None, "A folder that keeps the decoded pictures for the next run.", metavar="FOLDER")
    sharpness: float = _flag(0.0, "Leave out pictures softer than this (mean absolute Laplacian; Kodak has 20).")
    halves: float = _flag(0.0, "Take pictures sharper than this at half their size, too; 0: none.")
    workers: int = _flag(1, "Processes of one thread each that share a step, on a CPU.", metavar="N")
    device: Literal["auto", "cpu", "cuda"] = _flag("auto", "auto is a GPU where there is one.")
    resume: bool = _flag(
        False, "Go on with the run that left OUT's state; if there is none, begin from --init or --from."
    )
    stop_after: float = _flag(math.inf, "Leave after so long, in a state that --resume goes on from.", None, "MINUTES")
    measure: bool = _flag(False, "Only time some steps: pixels a second, share of the device.")

    @property
    def state(self) -> Path:
        """The state of the trajectory: of the run before its learning rate falls. It stays when the run is over."""
        return self.out.with_suffix(".state.safetensors")

    @property
    def falling(self) -> Path:
        """The state of a run whose learning rate falls, until it is over."""
        return self.out.with_suffix(".falling.safetensors")

    @property
    def newest(self) -> Path:
        """What `resume` goes on from."""
        return self.falling if self.falling.exists() else self.state

"""`Job`: the arguments of one call of `feds train`, `distill` or `finetune`; every field is a flag of that name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import FedsError
from ..metrics.table import LOSSES
from ..networks.metadata import read_metadata
from .recipe import RECIPES


def _flag(default: Any, help_text: str, name: str | None = None, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": help_text, "name": name, "metavar": metavar})


def _required(help_text: str, metavar: str) -> Any:
    return field(metadata={"help": help_text, "metavar": metavar})


@dataclass(frozen=True)
class Job:
    """The arguments of one call of a command that trains."""

    data: list[Path] = _required("Folder, picture or .tar file (.tar.gz, ...); repeatable.", "PATH")
    out: Path = _required("Output .safetensors file; log, curve and state go beside it.", "OUT")
    recipe: str = _flag(
        "train",
        f"Defaults of the options below: {', '.join(RECIPES)}. With --resume, the run's own stay.",
        metavar="NAME",
    )
    overrides: dict[str, Any] = field(default_factory=dict)  # fields of the recipe, each a flag of its own
    network: str | None = _flag(None, "Network to train (see `feds models --all`).  [default: student]", metavar="NAME")
    init: Path | None = _flag(None, "Start from these weights: a model or a weights file.", metavar="NAME")
    source: Path | None = _flag(
        None, "Start from the state of another run: weights, averages, moments, pixels seen.", "--from", "STATE"
    )
    teacher: Path | None = _flag(None, "The teacher: a model or a weights file.", metavar="NAME")
    lam: float | None = _flag(None, "Train for this λ only, instead of those of q1 … q7 (`feds models`).", "--lambda")
    metric: str | None = _flag(None, "Distortion to minimise.  [default: mse]", metavar="|".join(LOSSES))
    cache: Path | None = _flag(None, "Keep the decoded pictures in this folder for the next run.", metavar="FOLDER")
    sharpness: float = _flag(
        0.0, "Leave out pictures softer than this (mean absolute Laplacian; Kodak has 20); 0: none."
    )
    halves: float = _flag(0.0, "Also use half-size copies of pictures sharper than this; 0: none.")
    workers: int = _flag(1, "Number of single-threaded processes that share each step, on a CPU.", metavar="N")
    device: Literal["auto", "cpu", "cuda"] = _flag("auto", "Device. auto: a GPU if there is one.")
    resume: bool = _flag(False, "Continue the run of OUT; if there is none, start from --init or --from.")
    stop_after: float = _flag(math.inf, "Stop after this time; --resume continues.  [default: never]", None, "MINUTES")
    measure: bool = _flag(False, "Only time some steps: pixels per second, share of the device's peak.")

    def __post_init__(self) -> None:
        for name, most in (("sharpness", math.inf), ("halves", math.inf), ("stop_after", math.nan)):
            if not (found := getattr(self, name)) >= 0 or found == most:
                raise FedsError(f"--{name.replace('_', '-')} must be a number of 0 or more, found {found:g}")

    @property
    def log(self) -> Path:
        """Path of the log."""
        return self.out.with_suffix(".jsonl")

    @property
    def curve(self) -> Path:
        """Path of the drawing of the log."""
        return self.out.with_suffix(".svg")

    @property
    def state(self) -> Path:
        """Path of the state before the learning rate falls. The file stays when the run is over."""
        return self.out.with_suffix(".state.safetensors")

    @property
    def falling(self) -> Path:
        """Path of the state while the learning rate falls. The file is removed when the run is over."""
        return self.out.with_suffix(".falling.safetensors")

    @property
    def newest(self) -> Path:
        """Path of the state that `resume` continues from."""
        return self.falling if self.falling.exists() else self.state

    @property
    def goes_on(self) -> bool:
        """Whether `resume` has a state to continue from."""
        return self.resume and self.newest.exists()

    @property
    def is_finished(self) -> bool:
        """Whether the weights file is there and its run is over."""
        return self.out.exists() and "finished" in read_metadata(self.out)

    @property
    def written(self) -> tuple[Path, ...]:
        """All files of the run."""
        return self.out, self.state, self.falling, self.log, self.curve

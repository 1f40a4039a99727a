"""Make a weights file of the mean of two networks, to be trained further.

    python tools/mean_weights.py START.safetensors END.safetensors MEAN.safetensors [--share 0.5]

A run leaves noise in its weights, and the more the shorter its learning rate fell. The mean of the network that a run
began with and the one that it ended with has less of it (figures are in weights/TRAINING.md). `--share` is the share of
END. The file is a checkpoint for `feds train --init` and `feds finetune`, which fit its steps and the tables of y:
those are END's. The tables of z are made of the mean of the priors.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

import torch

from fedscodec.errors import FedsError
from fedscodec.networks.weights import read_weights, trainable, write_weights


@torch.no_grad()
def mean(start: Path, end: Path, out: Path, share: float = 0.5) -> None:
    """Write the mean of two weights files of the same network. Raises FedsError if they differ, or `out` exists."""
    if out.exists():
        raise FedsError(f"{out}: exists already")
    weights = read_weights(end)
    first, model = trainable(read_weights(start)), trainable(weights)
    if first.spec != model.spec:
        raise FedsError(f"{start}: expected the network of {end}, found another")
    for old, new in zip(first.parameters(), model.parameters(), strict=True):
        new.copy_(torch.lerp(old, new, share))
    words = {**weights.metadata, "start": f"the mean of {start.name} and {end.name}"}
    write_weights(out, model, words, checkpoint=True)


def share_of(text: str) -> float:
    """A number in 0..1. Raises ArgumentTypeError for anything else, which argparse shows as wrong usage."""
    with suppress(ValueError):
        if 0 <= (share := float(text)) <= 1:
            return share
    raise argparse.ArgumentTypeError(f"expected a share in 0..1, found {text}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name in ("start", "end", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--share", type=share_of, default=0.5, help="The share of END in 0..1; 0.5 by default.")
    asked = parser.parse_args()
    try:
        mean(asked.start, asked.end, asked.out, asked.share)
    except (FedsError, OSError) as error:
        raise SystemExit(f"feds: {error}") from None


if __name__ == "__main__":
    main()

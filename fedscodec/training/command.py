"""What `feds train` does: read pictures, train by a recipe, show progress, leave a weights file that encodes."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import __version__
from ..codec import choose_device
from ..errors import FedsError
from ..networks.model import FedsModel
from ..networks.spec import VARIANTS
from ..networks.weights import read_weights, trainable, write_weights
from .data import Tiles
from .loop import Report, Trainer, json_log
from .recipe import Recipe


def recipe_from(overrides: dict[str, object]) -> Recipe:
    """The default recipe with some fields replaced; FedsError for an unknown field or an impossible value."""
    known = {field.name for field in fields(Recipe)}
    if unknown := set(overrides) - known:
        raise FedsError(f"a recipe has no field {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    try:
        return replace(Recipe(), **{k: v for k, v in overrides.items() if v is not None})
    except ValueError as error:
        raise FedsError(str(error)) from None


def start(network: str, init: Path | None) -> tuple[FedsModel, dict[str, str]]:
    """A network to train, fresh or from a weights file (shipped or checkpoint), and where it comes from."""
    if init is not None:
        weights = read_weights(init)
        return trainable(weights), {"network": weights.metadata.get("network", network), "start": init.name}
    if network not in VARIANTS:
        raise FedsError(f"{network}: no such network; known are {', '.join(VARIANTS)}")
    return FedsModel(VARIANTS[network]), {"network": network, "start": "fresh"}


def train(
    data: list[Path],
    out: Path,
    network: str,
    recipe_overrides: dict[str, object],
    init: Path | None,
    device: str,
) -> None:
    """Train and write `out`, a weights file, every few minutes and at the end or at Ctrl-C; a log stands beside it."""
    recipe, console = recipe_from(recipe_overrides), Console(stderr=True)
    chosen = choose_device(device)
    if init is not None:
        recipe = replace(recipe, linear_share=0.0)  # its transforms are past being linear
    torch.manual_seed(recipe.seed)
    model, origin = start(network, init)
    with console.status("reading pictures") as status:
        tiles = Tiles.read(
            data, smallest=recipe.crop, progress=lambda n: status.update(f"reading pictures: {n}")
        )  # fmt: skip
    for sentence in tiles.skipped[:20]:
        console.print(f"skipped: {sentence}", style="yellow")
    console.print(f"{len(tiles.pictures)} pictures, {len(tiles.skipped)} skipped, on {chosen}")
    trainer = Trainer(model, tiles, recipe, chosen)
    if init is None and len(model.g_a.shortcut):
        trainer.warm_start()
    words = {**origin, "recipe": json.dumps(asdict(recipe)), "version": __version__}
    log = json_log(out.with_suffix(".jsonl"), recipe)
    with _progress(console) as progress:
        task = progress.add_task("training", total=1.0)

        def tell(report: Report) -> None:
            log(report)
            progress.update(task, completed=report.progress, description=_describe(report))

        def save(run: Trainer) -> None:
            write_weights(out, run.average, {**words, "steps": str(run.step)}, checkpoint=True)

        trainer.run(tell, save)
    console.print(f"{out}: {trainer.step} steps, {trainer.skipped} skipped as not finite")


def export(checkpoint: Path, out: Path) -> None:
    """Turn a checkpoint into what ships: integer entropy side, float16 transforms, no float twin."""
    weights = read_weights(checkpoint)
    words = {k: v for k, v in weights.metadata.items() if k not in ("format", "spec", "fingerprint")}
    write_weights(out, trainable(weights), words)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(),
        console=console,
    )  # fmt: skip


def _describe(report: Report) -> str:
    return (
        f"{report.stage} step {report.step}: loss {report.loss:.3f}, {report.bpp:.3f} bpp, {report.psnr:.2f} dB, "
        f"{report.pixels_per_second / 1000:.0f} kpx/s"
    )

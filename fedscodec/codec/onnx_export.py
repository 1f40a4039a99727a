"""Export a light network as a folder of ONNX files for other runtimes, with a page on how they work together.

The files are read back and compared with the network before they are reported as written.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from .. import registry
from ..entropy.parts import Part
from ..entropy.streams import StreamReader
from ..errors import FedsError, FormatError
from ..fileformat import unpack
from ..files.outputs import require_folder, write_file
from ..graphs.integers import side_graphs
from ..graphs.sessions import Session
from ..graphs.side import GraphSide
from ..graphs.transforms import analysis, can_be_exported, hyper_analysis, synthesis
from ..images import Picture
from ..networks.walk import walk
from ..networks.weights_file import Weights, read_weights
from .backends import has_torch
from .decoding import decode_file
from .encoding import encode_picture
from .model import Model
from .onnx_model import OnnxModel
from .settings import Encoding

PAGE = "README.md"
TABLES = "tables.npz"


def export_onnx(found: registry.Resolved, folder: Path, *, force: bool) -> dict[str, int]:
    """Write and check the graphs of a network; return the bytes of each file by its name. Raises OutputError if files
    exist.

    Raises FedsError if the network cannot be exported, or if the files do not give the same results.
    """
    weights = read_weights(found.path)
    if not can_be_exported(weights.spec):
        raise FedsError(f"{found.path}: cannot be exported to ONNX: expected light stages without attention")
    require_folder(folder)
    files = onnx_files(weights)
    check(weights, files)
    folder.mkdir(parents=True, exist_ok=True)
    everything = {f"{name}.onnx": data for name, data in files.items()}
    everything |= {TABLES: _tables(weights), PAGE: _page(weights, found.network).encode()}
    for name, data in everything.items():
        write_file(folder / name, data, force=force)
    check(weights, {name: (folder / f"{name}.onnx").read_bytes() for name in files})
    return {name: len(data) for name, data in everything.items()}


def onnx_files(weights: Weights) -> dict[str, bytes]:
    """g_a, h_a, g_s, h_s and the network of each part as ONNX files; their metadata has the fingerprint."""
    words = {"fingerprint": weights.fingerprint.hex(), "format": "feds-onnx-1"}
    spec, floats = weights.spec, weights.floats
    graphs = [
        analysis(spec, floats, gained=True), hyper_analysis(spec, floats), synthesis(spec, floats, gained=True),
        *side_graphs(spec, weights.side),
    ]  # fmt: skip
    return {graph.name: graph.packed(words) for graph in graphs}


def check(weights: Weights, files: dict[str, bytes], quality: float = 3.5) -> None:
    """Raise FedsError unless the files give the symbols of the network, and its pixels within one level."""
    model = _reference(weights)
    encoded = encode_picture(_picture(), model, Encoding(quality=quality))
    file, level = unpack(encoded.data), np.array([quality], dtype=np.float32)
    rows, columns = -(-file.header.height // 64), -(-file.header.width // 64)
    reader = StreamReader(
        file.streams, (1, rows, columns, weights.spec.hyper_latents), weights.z_tables, weights.table_sets, None,
        unit=weights.spec.mean_unit,
    )  # fmt: skip
    try:
        y_hat = walk(GraphSide(weights.spec, weights.side, files), None, None, file.header.quality, reader)
    except FormatError as error:
        raise FedsError(f"the exported graphs give other symbols than the network ({error})") from error
    if not all(np.array_equal(a, b) for a, b in zip(reader.symbols, encoded.symbols, strict=True)):
        raise FedsError("the exported graphs give other symbols than the network")
    latents = y_hat.transpose(0, 3, 1, 2).astype(np.float32) / weights.spec.mean_unit
    shown = Session(files["g_s"]).run(latents, level)[0]
    picture = decode_file(file, model).picture
    if np.abs(shown[: picture.height, : picture.width].astype(int) - picture.pixels).max() > 1:
        raise FedsError("the exported g_s gives pixels that differ by more than one level from those of the network")
    padded = np.pad(_picture().pixels, ((0, -picture.height % 64), (0, -picture.width % 64), (0, 0)), mode="edge")
    y = Session(files["g_a"]).run(padded, level)[0]
    z = Session(files["h_a"]).run(y)[0]
    symbols = np.floor(z + 0.5).clip(-32767, 32767).astype(np.int16).transpose(0, 2, 3, 1).reshape(-1)
    if (symbols != encoded.symbols[0]).mean() > 0.02:  # floats may lie between two integers
        raise FedsError("the exported g_a and h_a give another z than the network")


def _reference(weights: Weights) -> Model:
    """The network on torch, if torch is installed."""
    if not has_torch():
        return OnnxModel(weights, name="the network", quality=1.0)
    import torch

    return Model(weights, name="the network", quality=1.0, device="cpu", precision=torch.float32)


def _picture() -> Picture:
    """Waves with some noise, 150×100, the same every time."""
    rows, columns, channels = np.mgrid[0:100, 0:150, 0:3]
    waves = 128 + 60 * np.sin(rows / 9 + channels) + 40 * np.cos(columns / 5 + rows / 30)
    noise = np.random.default_rng(1).normal(0, 6, waves.shape)
    return Picture((waves + noise).clip(0, 255).astype(np.uint8))


def _tables(weights: Weights) -> bytes:
    """Frequency tables and shifts: everything that is not a graph."""
    arrays = {f"z_{k}": v for k, v in weights.z_tables.to_arrays().items()}
    arrays |= {f"y_{k}": v for k, v in weights.y_tables.to_arrays().items()}
    out = io.BytesIO()
    arrays["known_shift"] = weights.side["known.shift"]
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # its stub takes them for a flag
    return out.getvalue()


def _page(weights: Weights, name: str) -> str:
    spec, most = weights.spec, len(weights.spec.lambdas)
    rows = "\n".join(
        f"| {part.number} | {part.channels[0]}:{part.channels[1]} | {part.seen} | {part.stream} | {_cells(part)} |"
        for part in spec.parts()
    )
    return f"""# {name} as ONNX graphs

Network {weights.fingerprint.hex()}. All graphs are opset 17; integer graphs are plain float32 inside, and exact on
every engine that adds and multiplies IEEE float32 without making it shorter (no TF32, no float16).

| file | inputs | outputs |
| --- | --- | --- |
| g_a.onnx | picture uint8 [H, W, 3], quality float32 [1] | y float32 [1, {spec.latents}, H/16, W/16] |
| h_a.onnx | y | z float32 [1, {spec.hyper_latents}, H/64, W/64] |
| h_s.onnx | z int16 [1, {spec.hyper_latents + 1}, H/64, W/64] | side int16 [1, S, H/16, W/16] |
| net0.onnx … net{len(spec.parts()) - 1}.onnx | side, known int16 [1, seen, H/16, W/16] | mean int16, index int8 |
| g_s.onnx | y_hat float32 [1, {spec.latents}, H/16, W/16], quality float32 [1] | picture uint8 [H, W, 3] |

H and W are multiples of 64: repeat the last row and column of a picture, and cut off what was added. quality is 1 to
{most}.

1. Encoder: y = g_a(picture, quality), z = h_a(y), symbols of z = floor(z + 1/2). Both sides then have the same z.
2. side = h_s(z, level): the last of the {spec.hyper_latents + 1} channels is one number everywhere,
   floor((240·(1000·quality − {500 * most + 500}) + {500 * most - 500}) / {1000 * most - 1000})
   (0 for a network of one quality).
3. known = zeros. For each part in turn, mean and index = net(side, known[:, :seen]); a net of a part that sees nothing
   has no such input. Its block is [G·K, H/32, W/32, C/G]: G groups of channels (channel c of the part is in group
   c mod G), K corners of every 2×2 square for each. symbol = floor(y − mean/{spec.mean_unit} + 1/2) is coded by table
   `index` of the part, ŷ = {spec.mean_unit}·symbol + mean, and known of its channels and cells becomes
   clamp((ŷ + 2^(shift − 1)) >> shift, −2047, 2047) with known_shift of tables.npz (without the half where shift is 0).
4. picture = g_s(ŷ / {spec.mean_unit}, quality).

| part | channels | sees | stream | corners (row, column) of each group |
| --- | --- | --- | --- | --- |
{rows}

tables.npz: of z one table a channel, of y {spec.scales} for each stream or for all; table k holds the frequencies (of
2^24) of low[k] … high[k] and then that of the escape. How streams are coded: docs/format.md of feds. `feds verify` and
`feds info --json` tell what a file should decode to.
"""


def _cells(part: Part) -> str:
    groups = part.cells.groups if part.cells else ()
    return "; ".join(" ".join(f"({row}, {column})" for row, column in corners) for corners in groups)

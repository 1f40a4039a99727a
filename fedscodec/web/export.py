"""Export the viewer: the page, and for each network what a decoder needs.

    index.html viewer.css *.js kernels.wasm       as they lie in page/
    NAME-FINGERPRINT.net.gz                       a weights file without what only an encoder or a trainer needs
    networks.json                                 which there are: name, file, bytes, fingerprint, spec

In the network's metadata are `parts` (see `entropy.parts`), so that the page counts nothing for itself.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from ..errors import FedsError, OutputError
from ..files.outputs import require_writable, write_file
from ..networks.spec import ModelSpec
from ..networks.weights import Weights, read_weights
from ..networks.weights_file import table_arrays
from ..registry import resolve

PAGE = Path(__file__).parent / "page"
_NEEDED = ("g_s.", "gains.log_inverse")


def write_page(folder: Path, models: Iterable[str], *, force: bool = False) -> dict[Path, int]:
    """Write the viewer with these networks into a folder; return the files and their bytes.

    Raises FedsError for a network that the page cannot run, and OutputError if something is in the way.
    """
    files = {path.name: path.read_bytes() for path in sorted(PAGE.iterdir()) if path.is_file()}
    listed = []
    for model in models:
        found = resolve(model)
        weights = read_weights(found.path)
        _require_known(weights.spec, found.network)
        data = network_bytes(weights, found.network)
        name = f"{found.network}-{weights.fingerprint.hex()}.net.gz"
        files[name] = data
        listed.append(_entry(weights, found.network, name, len(data)))
    files["networks.json"] = json.dumps(listed, indent=1).encode() + b"\n"
    return _write(folder, files, force=force)


def network_bytes(weights: Weights, name: str) -> bytes:
    """The network file for the page."""
    floats = {key: value.astype(np.float16) for key, value in weights.floats.items() if key.startswith(_NEEDED)}
    integers = {f"side.{key}": value for key, value in weights.side.items()}
    integers |= table_arrays(weights.z_tables, weights.y_tables)
    parts = [asdict(part) | {"cells": part.cells and part.cells.groups} for part in weights.spec.parts()]
    about = {
        "name": name,
        "fingerprint": weights.fingerprint.hex(),
        "spec": json.dumps(weights.spec.to_dict()),
        "parts": json.dumps(parts),
        "unit": str(weights.spec.mean_unit),
    }
    arrays = {key: np.ascontiguousarray(value) for key, value in (floats | integers).items()}
    return gzip.compress(save(arrays, about), mtime=0)


def _entry(weights: Weights, name: str, file: str, size: int) -> Mapping[str, object]:
    spec = json.dumps(weights.spec.to_dict())
    return {"name": name, "file": file, "bytes": size, "fingerprint": weights.fingerprint.hex(), "spec": spec}


def _require_known(spec: ModelSpec, name: str) -> None:
    """Raise FedsError unless `page/synthesis.js` can compute this g_s."""
    light = all(stage.kind == "light" and stage.attention is None for stage in spec.stages)
    if not light or spec.shortcut == "haar" or spec.stages[-1].at != 16:
        kinds = ", ".join(sorted({stage.kind for stage in spec.stages}))
        raise FedsError(f"{name}: expected a light network without attention, found: {kinds}")


def _write(folder: Path, files: Mapping[str, bytes], *, force: bool) -> dict[Path, int]:
    for name in files:
        if (folder / name).exists():
            require_writable(folder / name, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    for name, data in files.items():
        write_file(folder / name, data, force=force)
    return {folder / name: len(data) for name, data in files.items()}

"""The state of a run on disk: nested dicts and lists of tensors and numbers, as safetensors. No pickle.

    tensors     "0", "1", …, contiguous
    metadata    format; state: the nesting as JSON, with {"tensor": "0", "order": [1, 0]} in place of a tensor

`order` are a tensor's dimensions from the widest stride to the narrowest. They are kept because a run continues
exactly only if its tensors also lie in memory as they did: sums come out otherwise in the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from ..errors import WeightsError
from ..files.outputs import replacing

FORMAT = "feds-training-1"


def write_state(path: Path, state: Any) -> None:
    """Write a state, completely or not at all."""
    tensors: dict[str, Tensor] = {}
    words = {"format": FORMAT, "state": json.dumps(_without_tensors(state, tensors))}
    with replacing(path) as part:
        save_file(tensors, part, metadata=words)


def read_state(path: Path) -> Any:
    """Read what `write_state` wrote, onto the CPU. Raises WeightsError for anything else."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                found = metadata.get("format")
                raise WeightsError(f"{path}: expected the state of a training run ({FORMAT}), found {found}")
            return _with_tensors(json.loads(metadata["state"]), file.get_tensor)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable state of a training run ({error})") from None


def pack_state(state: Any) -> bytes:
    """A state as bytes, for another process of the same run."""
    tensors: dict[str, Tensor] = {}
    words = json.dumps(_without_tensors(state, tensors)).encode()
    return len(words).to_bytes(8, "little") + words + save(tensors)


def unpack_state(data: bytes) -> Any:
    """The inverse of `pack_state`."""
    end = 8 + int.from_bytes(data[:8], "little")
    return _with_tensors(json.loads(data[8:end]), load(data[end:]).__getitem__)


def _without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        order = sorted(range(value.dim()), key=lambda i: value.stride(i), reverse=True)
        tensors[name] = value.detach().permute(order).contiguous().cpu().clone()
        return {"tensor": name, "order": order}
    if isinstance(value, dict):  # as pairs, because keys need not be strings
        return {"dict": [[key, _without_tensors(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_without_tensors(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"the state of a run holds numbers, strings and tensors, found {type(value).__name__}")


def _with_tensors(value: Any, tensor: Callable[[str], Tensor]) -> Any:
    if isinstance(value, list):
        return [_with_tensors(item, tensor) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        order = value["order"]
        return tensor(value["tensor"]).permute(sorted(range(len(order)), key=order.__getitem__))
    return {key: _with_tensors(item, tensor) for key, item in value["dict"]}

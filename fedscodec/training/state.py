"""The state of a run on disk: nested dicts and lists of tensors and numbers, as safetensors. No pickle.

    tensors     "0", "1", …, contiguous
    metadata    format; state: the nesting as JSON, with {"tensor": "0", "order": [1, 0]} in place of a tensor

`order` are a tensor's dimensions from the widest stride to the narrowest. They are kept because a run continues
exactly only if its tensors also lie in memory as they did: sums come out otherwise in the last bit.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file
from torch import Tensor

from ..errors import WeightsError, is_lack_of_memory
from ..files.names import shown
from ..files.outputs import errors_as_sentences, replacing
from .recipe import PHASES

FORMAT = "feds-training-1"
_COUNTS = ("step", "earlier", "pixels", "skipped", "fitted")
_RUN = {
    **dict.fromkeys(("stage", "average", "optimizers"), dict), **dict.fromkeys(("draws", "figures"), Tensor),
    **dict.fromkeys(("noise", "told"), list), **dict.fromkeys(("ending", "quantised"), bool),
}  # fmt: skip
"""What the loop keeps of a run, beside counts, times and the name of its phase (`Trainer.state`)."""


def write_state(path: Path, state: Any) -> None:
    """Write a state, completely or not at all. Raises OutputError for a full disk or whatever else is refused."""
    tensors: dict[str, Tensor] = {}
    words = {"format": FORMAT, "state": json.dumps(_without_tensors(state, tensors))}
    with errors_as_sentences(path), replacing(path) as part:
        try:
            save_file(tensors, part, metadata=words)
        except SafetensorError as error:  # which has the number of the system's error in its text only
            number = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(int(number[1]) if number else 0, str(error)) from error


def read_state(path: Path) -> dict[str, Any]:
    """Read the state of a run, onto the CPU. Raises WeightsError for anything else."""
    state = read_nested(path)
    if fault := _fault(state):
        raise WeightsError(f"{shown(path)}: not a readable state of a training run ({fault})")
    return state


def read_nested(path: Path) -> Any:
    """Read what `write_state` wrote, whatever it is, onto the CPU. Raises WeightsError for anything else."""
    with as_damage_of(path), safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            found = metadata.get("format")
            raise WeightsError(f"{shown(path)}: expected the state of a training run ({FORMAT}), found {found}")
        return _with_tensors(json.loads(metadata["state"]), file.get_tensor)


@contextmanager
def as_damage_of(path: Path) -> Iterator[None]:
    """Turn what a damaged or foreign state makes fail in a block, which only reads or uses it, into a WeightsError."""
    try:
        yield
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
            RuntimeError) as error:  # fmt: skip
        if is_lack_of_memory(error):
            raise
        what = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise WeightsError(f"{shown(path)}: not a readable state of a training run ({what})") from None


def _fault(state: Any) -> str | None:
    """What is wrong with the state of a run; None if it has all parts. Their insides are checked in their use."""
    parts = dict.fromkeys(("run", "recipe", "spec", "words"), dict)
    if fault := _wrong_part(state, "state", parts):
        return fault
    if fault := _wrong_part(state["words"], "words", {"network": str, "start": str}):
        return fault
    if any(not isinstance(value, str) for value in state["words"].values()):
        return "words that are no text"
    run = state["run"]
    if fault := _wrong_part(run, "run", _RUN):
        return fault
    if wrong := [name for name in _COUNTS if type(run.get(name)) is not int or not 0 <= run[name] < 2**63]:
        return f"{wrong[0]} of the run is no count"
    times = {"minutes": run.get("minutes"), "best": run.get("best")}
    if wrong := [name for name, value in times.items() if type(value) not in (int, float) or math.isnan(value)]:
        return f"{wrong[0]} of the run is no number"
    if not 0 <= run["minutes"] < math.inf:
        return f"minutes of the run are {run['minutes']}"
    if run.get("phase") not in list(PHASES):  # a list, because what is in its place may not have a hash
        return "the phase of the run is not known"
    return "wrong numbers of parts" if len(run["noise"]) != 2 or len(run["told"]) != 3 else None


def _wrong_part(value: Any, name: str, kinds: Mapping[str, type]) -> str | None:
    if not isinstance(value, dict):
        return f"expected a mapping as its {name}, found {type(value).__name__}"
    for part, kind in kinds.items():
        if not isinstance(value.get(part), kind):
            found = type(value[part]).__name__ if part in value else "nothing"
            return f"expected {part} in its {name} as {kind.__name__}, found {found}"
    return None


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

"""The metadata of a weights file, read without its tensors and without torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from ..errors import WeightsError
from .foreign import foreign_kind, foreign_tensors
from .spec import ModelSpec

FORMAT = "feds-weights-1"


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a weights file. Raises WeightsError for any other file, and says what it is."""
    if kind := foreign_kind(path):
        raise WeightsError(f"{path}: is {kind}; expected a weights file of feds (safetensors, {FORMAT})")
    try:
        with safe_open(path, "numpy") as file:
            metadata, tensors = file.metadata() or {}, list(file.keys())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable weights file ({error})") from None
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        what = f": {foreign_tensors(tensors, found)}" if found in (None, "pt", "tf", "np", "feds-training-1") else ""
        raise WeightsError(f"{path}: expected a weights file of format {FORMAT}, found {found}{what}")
    return dict(metadata)


class Counts(NamedTuple):
    """How large a network is: its parameters, and thousands of multiply-accumulates a pixel for both directions."""

    parameters: int
    kmacs_per_pixel: float


def counts_of(metadata: Mapping[str, str], spec: ModelSpec) -> Counts:
    """The size that a weights file states; counted from the spec if it states none, which needs torch."""
    with suppress(KeyError, ValueError):
        found = Counts(int(metadata["parameters"]), float(metadata["kmacs_per_pixel"]))
        if found.parameters > 0 and 0 < found.kmacs_per_pixel < math.inf:
            return found
    from .counts import kmacs_per_pixel, parameters

    return Counts(parameters(spec), kmacs_per_pixel(spec))


def spec_of(metadata: Mapping[str, str], path: Path) -> ModelSpec:
    """The spec in a weights file."""
    if "spec" not in metadata:
        raise WeightsError(f"{path}: has no description of its network")
    try:
        return ModelSpec.from_dict(json.loads(metadata["spec"]))
    except json.JSONDecodeError:
        fault = "it is not JSON"
    except RecursionError:
        fault = "it is nested too deeply"
    except (TypeError, ValueError) as error:
        fault = str(error)
    raise WeightsError(f"{path}: its description of the network is not valid ({fault})")

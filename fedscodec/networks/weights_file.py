"""A weights file: safetensors that explain themselves.

    tensors                         type      what
    g_a.* g_s.* h_a.* gains.*       float16   transforms (float32 in a training checkpoint)
    side.*                          int8/32   the integer entropy side: of every layer weight, bias, shift; with ChARM
                                              also multiplier and context.* (`integer_side`), with passes known.shift
                                              (`light_integers`)
    tables.z.* tables.y.*           int32     frequency tables, see `entropy.tables`; those of y for each slice in turn,
                                              or once for all
    twin.*                          float32   steps, prior and shapes, so that training can go on from the integers
    float_side.*                    float32   the float twin itself; only in a training checkpoint

Metadata: format, spec (JSON), fingerprint (of side.* and tables.*), parameters and kmacs_per_pixel (which older files
lack), and whatever a training run has to say of itself.
The fingerprint is what a .feds file names its network by: two files with equal integers decode each other's files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ..entropy.tables import Tables
from ..errors import WeightsError
from .arrays import Arrays
from .metadata import read_metadata, spec_of
from .spec import ModelSpec

FLOAT_PARTS = ("g_a", "g_s", "h_a", "gains")
TYPES = ("F16", "F32", "I8", "I32")  # as safetensors calls them; of some others, numpy knows nothing


@dataclass
class Weights:
    """A weights file in memory."""

    spec: ModelSpec
    fingerprint: bytes  # 8 bytes
    floats: Arrays
    side: Arrays
    z_tables: Tables
    y_tables: Tables
    twin: Arrays
    metadata: dict[str, str] = field(default_factory=dict)

    @cached_property
    def table_sets(self) -> tuple[Tables, ...]:
        """The sets of tables that parts name, or one for all."""
        return self.y_tables.split(self.spec.scales)


def fingerprint_of(side: Mapping[str, np.ndarray], z_tables: Tables, y_tables: Tables, spec: ModelSpec) -> bytes:
    """First 8 bytes of the SHA-256 of everything integer, names and shapes included."""
    digest = hashlib.sha256(spec.decisive.encode())
    arrays = {**{f"side.{k}": v for k, v in side.items()}, **table_arrays(z_tables, y_tables)}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.digest()[:8]


def table_arrays(z_tables: Tables, y_tables: Tables) -> Arrays:
    """Frequency tables by their names in a weights file."""
    z = {f"tables.z.{k}": v for k, v in z_tables.to_arrays().items()}
    return {**z, **{f"tables.y.{k}": v for k, v in y_tables.to_arrays().items()}}


def read_weights(path: Path) -> Weights:
    """Read a weights file and check that its integers match its fingerprint."""
    metadata = read_metadata(path)
    spec = spec_of(metadata, path)
    parts = split(_arrays(path), path)
    z_tables, y_tables = tables(parts["tables"], path)
    counts = sorted({spec.scales, spec.scales * spec.table_sets})  # for all parts, or for each set
    if len(z_tables) != spec.hyper_latents or len(y_tables) not in counts:
        expected = f"{spec.hyper_latents} and {' or '.join(map(str, counts))} tables"
        raise WeightsError(f"{path}: expected {expected}, found {len(z_tables)} and {len(y_tables)}")
    found = fingerprint_of(parts["side"], z_tables, y_tables, spec)
    if found.hex() != metadata.get("fingerprint"):
        raise WeightsError(
            f"{path}: its integers have the fingerprint {found.hex()}, but it says {metadata.get('fingerprint')}"
        )
    return Weights(spec, found, parts["floats"], parts["side"], z_tables, y_tables, parts["twin"], metadata)


def _arrays(path: Path) -> Arrays:
    try:
        with safe_open(path, "numpy") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if odd := [name for name, kind in types.items() if kind not in TYPES]:
                raise WeightsError(f"{path}: expected tensors in {', '.join(TYPES)}, found {odd[0]} in {types[odd[0]]}")
            return {name: file.get_tensor(name) for name in types}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable weights file ({error})") from None


def split(arrays: Arrays, path: Path) -> dict[str, Arrays]:
    """Arrays by their purpose. Raises WeightsError for an unknown one."""
    parts: dict[str, Arrays] = {"floats": {}, "side": {}, "tables": {}, "twin": {}}
    for name, array in arrays.items():
        head, _, rest = name.partition(".")
        if head in FLOAT_PARTS or head == "float_side":
            parts["floats"][name] = array
        elif head in parts and rest:
            parts[head][rest] = array
        else:
            raise WeightsError(f"{path}: has an unknown tensor, {name}")
    return parts


def tables(arrays: Arrays, path: Path) -> tuple[Tables, Tables]:
    """Frequency tables of z and of y. Raises WeightsError if they are invalid, or those of z skip symbols."""
    try:
        z, y = (
            Tables.from_arrays({k[2:]: v for k, v in arrays.items() if k.startswith(which)}) for which in ("z.", "y.")
        )
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    if z.skip:  # a writer could not keep to it: every symbol of z has its channel's table, whatever its value
        raise WeightsError(f"{path}: expected no skipped tables for z, found {z.skip}")
    return z, y

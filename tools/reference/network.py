"""A weights file, read from docs/format.md alone: safetensors, of which only the integers matter here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from ans import Tables
from container import RefusedError

TYPES = {"I8": np.dtype("<i1"), "I32": np.dtype("<i4")}


class Weights:
    """The description of a network, its integer arrays by name, and its tables."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        head: dict[str, Any] = json.loads(data[8 : 8 + length])
        metadata = head.pop("__metadata__")
        self.spec: dict[str, Any] = json.loads(metadata["spec"])
        self.arrays: dict[str, np.ndarray] = {}
        for name, told in head.items():
            if name.startswith(("side.", "tables.")):
                first, end = told["data_offsets"]
                raw = data[8 + length + first : 8 + length + end]
                self.arrays[name] = np.frombuffer(raw, TYPES[told["dtype"]]).reshape(told["shape"])
        self.fingerprint = self._fingerprint()
        if self.fingerprint != metadata["fingerprint"]:
            raise RefusedError(f"{path}: its integers have the fingerprint {self.fingerprint}, which it does not say")
        self.z_tables, self.y_tables = self._tables("tables.z."), self._tables("tables.y.")
        if self.z_tables.skip:
            raise RefusedError(f"{path}: expected no skipped tables for z, found {self.z_tables.skip}")

    def of(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin so, without that beginning, as int64."""
        return {name[len(prefix) :]: a.astype(np.int64) for name, a in self.arrays.items() if name.startswith(prefix)}

    def _tables(self, prefix: str) -> Tables:
        found = self.of(prefix)
        return Tables(found["low"], found["high"], found["frequencies"], int(found["skip"][0]))

    def _fingerprint(self) -> str:
        spec = self.spec
        shape = f"{spec['latents']} {spec['slices']} {spec['hyper_latents']} {tuple(spec['slice_filters'])}"
        if how := spec.get("entropy"):
            names = ["base", "new", "base_streams", "side", "width"]
            if how.get("base_passes", 2) == 4:
                names.append("base_passes")
            passes = " ".join(f"{name}={how[name]}" for name in names)
            shape = f"passes {passes} {spec['latents']} {spec['hyper_latents']} {spec['scales']} {len(spec['lambdas'])}"
        digest = hashlib.sha256(shape.encode())
        for name in sorted(self.arrays):
            array = self.arrays[name]
            kind = "|i1" if array.dtype.itemsize == 1 else "<i4"
            digest.update(f"{name} {kind} {array.shape};".encode() + array.tobytes())
        return digest.hexdigest()[:16]

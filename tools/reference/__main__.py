"""A second decoder of the symbols of .feds files, in plain numpy: it shares no code with fedscodec.

    python tools/reference FILE.feds... --weights FOLDER [--weights FOLDER]

It was written from docs/format.md. For each file it prints the SHA-256 of the symbols (int16, little-endian, z first),
once the checksum of the file has proved them, and exits with 1 if a file, or a weights file, is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zlib
from pathlib import Path

import light
import numpy as np
import paper
from container import Container, RefusedError, read_container
from network import Weights


def symbols_of(file: Container, weights: Weights) -> bytes:
    """All symbols of a file, int16, little-endian, z first; RefusedError unless they have its checksum."""
    is_light = bool(weights.spec.get("entropy"))
    streams = light.passes(weights.spec)[-1][2] if is_light else weights.spec.get("slices")
    if streams != len(file.streams) - 1:
        raise RefusedError(f"has {len(file.streams) - 1} slices, and its network another number")
    if not 1000 <= file.quality <= 1000 * len(weights.spec["lambdas"]):
        raise RefusedError(f"asks for quality {file.quality}, which its network does not have")
    if "PIXL" in file.boxes and any(file.streams):
        raise RefusedError("has a PIXL box, expected empty streams")
    parts = () if "PIXL" in file.boxes else (light if is_light else paper).symbols(file, weights)
    data = b"".join(np.ascontiguousarray(part, "<i2").tobytes() for part in parts)
    if zlib.crc32(data, file.seed) != file.checksum:
        raise RefusedError("holds other symbols than its checksum says")
    return data


def main() -> int:
    """Decode the files that the command line names."""
    parser = argparse.ArgumentParser(prog="python tools/reference", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.feds")
    where = "where weights files lie; may be given again"
    parser.add_argument("--weights", required=True, type=Path, metavar="FOLDER", action="append", help=where)
    asked = parser.parse_args()
    paths = [path for folder in asked.weights for path in sorted(folder.glob("*.safetensors"))]
    try:
        known = {weights.fingerprint: weights for weights in map(Weights, paths)}
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    refused = 0
    for path in asked.files:
        try:
            file = read_container(path.read_bytes())
            if file.fingerprint not in known:
                raise RefusedError(f"was written by the network {file.fingerprint}, which is not at hand")
            print(f"{path}: {hashlib.sha256(symbols_of(file, known[file.fingerprint])).hexdigest()}", flush=True)
        except RefusedError as error:
            refused += 1
            print(f"{path}: {error}", file=sys.stderr)
    return int(refused > 0)


if __name__ == "__main__":
    sys.exit(main())

"""How often damage to a stream is noticed by that stream, only by the checksum of the symbols, or not at all.

    python tools/measure_damage.py FILES COUNT [SEED]

FILES are .feds files of installed networks, or a folder of them. COUNT times a file is drawn, a stream of it, and a
kind of damage: a flipped bit, a byte with another value, 2 to 16 bytes of noise, a stretch of zeros, or two bytes that
change places. The file is decoded up to its checksum, and what is said is compared with what was done.
"""

from __future__ import annotations

import collections
import re
import sys
from pathlib import Path

import numpy as np
import torch

from fedscodec import registry
from fedscodec.codec.decoding import read_symbols
from fedscodec.codec.model import Model, model_by_fingerprint
from fedscodec.errors import FormatError
from fedscodec.fileformat import FedsFile, unpack

KINDS = ("a bit", "a byte", "noise", "zeros", "a swap")


def damaged(stream: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """The stream with damage of that kind; it may, by chance, be the same."""
    data = bytearray(stream)
    at, other = (int(place) for place in rng.integers(len(data), size=2))
    end = min(at + int(rng.integers(2, 17)), len(data))
    if kind == "a bit":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "a byte":
        data[at] = int(rng.integers(256))
    elif kind == "noise":
        data[at:end] = rng.bytes(end - at)
    elif kind == "zeros":
        data[at:end] = bytes(end - at)
    else:
        data[at], data[other] = data[other], data[at]
    return bytes(data)


def said(file: FedsFile, model: Model) -> str:
    """What decoding says: the name of a stream, "checksum", or nothing."""
    try:
        read_symbols(file, model)
    except FormatError as error:
        named = re.match(r"the (z|slice \d+) stream ", str(error))
        return named[1] if named else "checksum" if "checksum" in str(error) else str(error)
    return ""


def main(place: Path, count: int, seed: int = 1) -> None:
    """Damage `count` files and print what was said of them."""
    torch.set_num_threads(1)
    paths = sorted(place.glob("*.feds")) if place.is_dir() else [place]
    files = [unpack(path.read_bytes(), name=path.name, max_pixels=None) for path in paths]
    at_hand = {bytes.fromhex(weights.fingerprint) for weights in registry.installed()}
    files = [file for file in files if file.header.fingerprint in at_hand]
    models = {print_: model_by_fingerprint(print_, "cpu") for print_ in {f.header.fingerprint for f in files}}
    rng, outcomes = np.random.default_rng(seed), collections.Counter[tuple[str, str]]()
    while sum(outcomes.values()) < count:
        file, kind = files[rng.integers(len(files))], KINDS[rng.integers(len(KINDS))]
        number = int(rng.integers(len(file.streams)))
        stream = file.streams[number]
        changed = damaged(stream, kind, rng) if stream else stream
        if changed == stream:
            continue
        streams = (*file.streams[:number], changed, *file.streams[number + 1 :])
        answer = said(FedsFile(file.header, streams), models[file.header.fingerprint])
        right = f"slice {number}" if number else "z"
        verdict = {right: "its own stream", "checksum": "the checksum", "": "nothing"}.get(answer, "another stream")
        outcomes[kind, verdict] += 1
        if verdict != "its own stream":
            size = f"{file.header.width}x{file.header.height}"
            print(f"{kind} in {right} of {len(stream)} bytes, {size}: {answer or 'nothing'}", file=sys.stderr)
    for verdict in ("its own stream", "another stream", "the checksum", "nothing"):
        per_kind = ", ".join(f"{kind} {outcomes[kind, verdict]:,}" for kind in KINDS)
        print(f"noticed by {verdict}: {sum(outcomes[kind, verdict] for kind in KINDS):,} ({per_kind})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:]))

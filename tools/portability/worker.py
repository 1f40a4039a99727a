"""One process of the portability matrix: encode or decode with the settings it was started with.

    python tools/portability/worker.py encode FOLDER DEVICE FLAG,FLAG PATTERN NETWORKS
    python tools/portability/worker.py decode FOLDER DEVICE FLAG,FLAG PATTERN NETWORKS

encode writes pictures of the corpus as .feds files to FOLDER and prints, as one JSON object, name → hash of symbols;
only with networks that committed files of that pattern need. decode reads those committed files and every .feds file in
FOLDER's siblings, and prints name → hashes of symbols and alpha and, for committed ones, how far pixels are from those
beside them. Both pass over files whose names do not match NETWORKS. The environment sets threads, precision, exact
backend and CPU; with the flag onnx, ONNX Runtime runs the networks.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "conformance"
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "conformance")]

import add  # noqa: E402  (the pictures of the conformance set)

from fedscodec.codec.decoding import decode_file  # noqa: E402
from fedscodec.codec.encoding import encode_picture  # noqa: E402
from fedscodec.codec.model import Model, load_model, model_by_fingerprint  # noqa: E402
from fedscodec.codec.settings import Encoding  # noqa: E402
from fedscodec.codec.verification import symbols_sha256  # noqa: E402
from fedscodec.entropy.exact_matmul import choose_exact_backend  # noqa: E402
from fedscodec.fileformat import unpack  # noqa: E402
from fedscodec.images import read_picture  # noqa: E402

FLAGS = {
    "no-onednn": lambda: torch.backends.mkldnn.set_flags(False),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "no-tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),  # else no float32 on a GPU
    "threads-1": lambda: torch.set_num_threads(1),
    "threads-2": lambda: torch.set_num_threads(2),
    "threads-7": lambda: torch.set_num_threads(7),
    "onnx": lambda: os.environ.update(FEDS_BACKEND="onnx"),
}


PICTURES = {"tiny": "text", "mini-teacher": "face-65x64", "mini-transformer": "ramp", "mini-odd": "primaries",
            "mini-skip": "face-65x64", "mini-shapes": "face-65x64", "mini-light-student": "face-65x64",
            "mini-light-teacher": "primaries", "mini-light-corners": "face-65x64"}  # fmt: skip


def networks_of(pattern: str, networks: str) -> set[str]:
    """The networks that committed files of that pattern were written with, of those that are asked for."""
    index = json.loads((CORPUS / "v1" / "index.json").read_text())
    found = {line["model"] for name, line in index.items() if fnmatch.fnmatch(name, pattern)}
    return {name for name in found if fnmatch.fnmatch(f"{name}-", networks)}


def encode(folder: Path, device: str, pattern: str, networks: str) -> dict[str, str]:
    """Write a file of every network at two qualities, and tell the hashes of their symbols."""
    found, pictures, wanted = {}, add.more_pictures(), networks_of(pattern, networks)
    for network, name in PICTURES.items():
        if network not in wanted:
            continue
        model = load_model(network, device)
        for quality in {1.0, max(1.0, len(model.spec.lambdas) - 0.25)}:
            encoded = encode_picture(pictures[name], model, Encoding(quality=quality))
            file = folder / f"{network}-{name}-q{quality:g}.feds"
            file.write_bytes(encoded.data)
            found[file.name] = symbols_sha256(encoded.symbols)
    return found


def decode(folder: Path, device: str, pattern: str, networks: str) -> dict[str, dict[str, object]]:
    """Hashes of the corpus, with distances of pixels, and of everybody's files."""
    models: dict[bytes, Model] = {}
    found: dict[str, dict[str, object]] = {}
    corpus = [path for path in sorted((CORPUS / "v1").glob("*.feds")) if fnmatch.fnmatch(path.stem, pattern)]
    files = [
        path for path in [*corpus, *sorted(folder.parent.glob("*/*.feds"))] if fnmatch.fnmatch(path.name, networks)
    ]
    for path in files:
        file = unpack(path.read_bytes(), name=path.name)
        fingerprint = file.header.fingerprint
        if fingerprint not in models:
            models[fingerprint] = model_by_fingerprint(fingerprint, device)
        decoded = decode_file(file, models[fingerprint])
        name = path.stem if path.parent.name == "v1" else f"{path.parent.name}/{path.name}"
        alpha = decoded.picture.alpha
        hidden = None if alpha is None else hashlib.sha256(alpha.tobytes()).hexdigest()
        found[name] = {"symbols": symbols_sha256(decoded.symbols), "alpha": hidden}
        if path.parent.name == "v1":
            expected = read_picture(path.with_suffix(".png")).pixels
            levels = np.abs(decoded.picture.pixels.astype(int) - expected)
            found[name] |= {"most": int(levels.max()), "beyond": int((levels > 1).sum()), "samples": levels.size}
    return found


def main(task: str, folder: str, device: str, flags: str, pattern: str, networks: str) -> None:
    """Do the task and print what was found."""
    for flag in filter(None, flags.split(",")):
        FLAGS[flag]()
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(json.dumps({"skipped": "no CUDA device"}))
        return
    work = {"encode": encode, "decode": decode}[task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = work(Path(folder), device, pattern, networks)
    by_onnx = os.environ.get("FEDS_BACKEND") == "onnx"
    about = {
        "torch": torch.__version__, "python": platform.python_version(), "numpy": np.__version__,
        "backend": f"ONNX Runtime {version('onnxruntime')}" if by_onnx else choose_exact_backend(torch.device(device)),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }  # fmt: skip
    print(json.dumps({"about": about, "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Does the package alone, installed without torch, code pictures? `.ci/run` asks in an environment of its own.

Run with the Python of that environment: `python -P tools/small_install.py`. Only what the package brings is needed.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
PICTURE = TESTS / "pictures" / "astronaut.png"
NETWORKS = TESTS / "conformance" / "networks"
TORCH = "needs torch, which is not installed: pip install 'fedscodec[torch]'"
NO_FILE = ("encode", str(PICTURE), "-o", "no.feds")
SENTENCES = {  # what needs more says so
    ("rounding", "a.safetensors", str(PICTURE)): f"this {TORCH}",
    (*NO_FILE, "--model", "mini-teacher"): f"the network mini-teacher {TORCH}",
    (*NO_FILE, "--model", "mini-light-student", "--effort", "1"): f"effort {TORCH}",
    (*NO_FILE, "--model", "mini-light-student", "--device", "cuda"): f"a GPU {TORCH}",
}


def feds(*words: str, code: int = 0) -> str:
    """What the command says; it must end with that exit code."""
    run = subprocess.run([Path(sys.executable).with_name("feds"), *words], capture_output=True, text=True, check=False)
    if run.returncode != code:
        sys.exit(f"feds {' '.join(words)} ended with {run.returncode}, expected {code}:\n{run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def megabytes() -> float:
    """What the installed packages take on disk, but for pip and setuptools."""
    files = {
        Path(str(file.locate())) for one in distributions() if one.name not in ("pip", "setuptools")
        for file in one.files or ()
    }  # fmt: skip
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def main() -> None:
    """Code a picture there and back, and ask for what is not there."""
    assert importlib.util.find_spec("torch") is None, (
        "this environment has torch, which the small install should not need"
    )
    os.environ |= {"FEDS_WEIGHTS": str(NETWORKS), "OMP_NUM_THREADS": "2"}
    os.environ.pop("FEDS_BACKEND", None)
    network = ("--model", "mini-light-student")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        feds("encode", str(PICTURE), "-o", "a.feds", *network, "--measure", "--verify")
        feds("decode", "a.feds", "-o", "a.png")
        assert "a.feds: OK, 512x512 pixels" in feds("verify", "a.feds")
        assert "512" in feds("info", "a.feds")
        feds("encode", "a.png", "-o", "out/", *network)
        feds("--help")
        for words, sentence in SENTENCES.items():
            found = feds(*words, code=1)
            assert sentence in found, f"feds {' '.join(words)}: expected {sentence!r}, found {found!r}"
            assert not Path("no.feds").exists()
    print(f"the small install takes {megabytes():.0f} MB, with the networks that it carries, and codes a picture")


if __name__ == "__main__":
    main()

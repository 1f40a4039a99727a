"""Files and settings against each other: everything encodes, and everything decodes what everything encoded.

    python tools/portability/matrix.py -o FOLDER [--python OTHER_INTERPRETER]... [--jobs N]

Every row is a process of its own with other threads, precision, exact backend, instruction set or device, with ONNX
Runtime in place of torch, or with another interpreter (with another torch). Each first encodes pictures with every
network of the conformance set, and then decodes the committed corpus and what all the others have written. Symbols and
alpha must be those that were committed, or that the writer had; pixels of the corpus are compared with the committed
ones, which were made in float32. ONNX Runtime has light networks only.

FOLDER gets what each process said as soon as it has said it, so the same command goes on where it was stopped; and at
last `matrix.json` and `matrix.md`, one table with the commit, the releases of torch and the CPU. The exit code is 1 if
one symbol differs, or if pixels at equal precision are more than a level apart. `--files` and `--only` try a part.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from settings import PRECISION, Setting, chosen  # noqa: E402
from table import Hashes, as_json, as_text, judge  # noqa: E402

from fedscodec.files.outputs import write_file  # noqa: E402

CORPUS = HERE.parents[1] / "tests" / "conformance"


@dataclass(frozen=True)
class Matrix:
    """A run of the matrix: where it lies, over which settings and which committed files."""

    folder: Path
    settings: Sequence[Setting]
    pattern: str = "*"
    jobs: int = 1

    def place(self, setting: Setting) -> Path:
        """The folder of what a setting writes and says."""
        return self.folder / f"{list(self.settings).index(setting):02}"

    def committed(self) -> dict[str, Hashes]:
        """The hashes that the chosen files of the corpus must have."""
        index = json.loads((CORPUS / "v1" / "index.json").read_text())
        return {
            name: {"symbols": line["symbols_sha256"], "alpha": line.get("alpha_sha256")}
            for name, line in index.items()
            if fnmatch.fnmatch(name, self.pattern)
        }

    def run(self) -> int:
        """Do what is not done yet and write the table; 1 if something is wrong."""
        expected = self.committed()
        run = self._opened(list(expected))
        for setting, said in self._all("encode"):
            for name, symbols in said.get("found", {}).items():
                expected[f"{self.place(setting).name}/{name}"] = {"symbols": symbols, "alpha": None}
        rows = [judge(setting, said, expected) for setting, said in self._all("decode")]
        text = as_text(run, rows)
        (self.folder / "matrix.json").write_text(json.dumps(as_json(run, rows), indent=1) + "\n")
        (self.folder / "matrix.md").write_text(text)
        print(text, end="")
        return int(any(row.wrong for row in rows))

    def _opened(self, files: list[str]) -> dict[str, Any]:
        """What this run is; SystemExit where the folder holds another one."""
        path = self.folder / "run.json"
        made = {"date": datetime.now(UTC).date().isoformat(), "cpu": cpu()}
        same = {
            "commit": commit(),
            "files": files,
            "settings": [setting.name for setting in self.settings],
            "exact": [setting.name for setting in self.settings if setting.exact_pixels],
        }
        if path.exists():
            earlier: dict[str, Any] = json.loads(path.read_text())
            if other := [what for what, value in same.items() if earlier[what] != value]:
                raise SystemExit(f"{self.folder}: holds a run with other {', '.join(other)}; name another folder")
            return earlier
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**made, **same}, indent=1) + "\n")
        return {**made, **same}

    def _all(self, task: str) -> list[tuple[Setting, dict[str, Any]]]:
        with ThreadPoolExecutor(self.jobs) as pool:
            return list(
                zip(self.settings, pool.map(lambda setting: self._said(setting, task), self.settings), strict=True)
            )

    def _said(self, setting: Setting, task: str) -> dict[str, Any]:
        """What a worker says, or has said before."""
        path = self.place(setting) / f"{task}.json"
        before = self.place(setting) / "encode.json"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            earlier = json.loads(before.read_text()) if before.exists() else {"found": {}}
            said = work(setting, task, path.parent, self.pattern) if "found" in earlier else earlier
            write_file(path, json.dumps(said).encode())
            sys.stderr.write(f"{setting.name}: {task}d\n" if "found" in said else f"{setting.name}: {said}\n")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def work(setting: Setting, task: str, folder: Path, pattern: str = "*") -> dict[str, Any]:
    """What one worker says, or {"refused": sentence}."""
    environment = {
        **os.environ, "OMP_NUM_THREADS": "8", PRECISION: "float32", **setting.environment,
        "FEDS_WEIGHTS": str(CORPUS / "networks"),
    }  # fmt: skip
    flags = ",".join(setting.flags)
    words = [task, str(folder), setting.device, flags, pattern, setting.networks]
    command = [setting.python, str(HERE / "worker.py"), *words]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        return {"refused": (run.stderr.strip().splitlines() or ["it said nothing"])[-1]}
    said: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return said


def commit() -> str:
    """The commit that is checked out, with a plus where files differ from it."""

    def git(*words: str) -> str:
        found = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{git('rev-parse', '--short=12', 'HEAD') or 'unknown'}{changed}"


def cpu() -> str:
    """The name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (text.split(":", 1)[1].strip() for text in lines if text.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def main() -> int:
    """Run the matrix and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="where steps and the table are kept")
    parser.add_argument("--python", action="append", default=[], help="another interpreter, with another torch")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--only", default="", help="settings whose name holds this word")
    parser.add_argument("--files", default="*", help="committed files with such names, and writers of their networks")
    given = parser.parse_args()
    return Matrix(given.output.resolve(), chosen(given.only, given.python), given.files, given.jobs).run()


if __name__ == "__main__":
    sys.exit(main())

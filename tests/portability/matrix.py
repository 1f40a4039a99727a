"""Files and settings against each other: everything encodes, and everything decodes what everything encoded.

    python tests/portability/matrix.py [--python OTHER_INTERPRETER]... [--jobs N] [--markdown TABLE.md]

Every row is a process of its own with other threads, precision, exact backend, instruction set or device, or another
interpreter (with another torch). Each first encodes pictures with every network of the conformance set, and then
decodes the committed corpus and what all the others have written. Symbols must be those that were committed, or
that the writer had; pixels of the corpus are compared with the committed ones, which were made in float32.
The exit code is 1 if one symbol differs, or if pixels at equal precision are more than a level apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE.parent / "conformance"
PRECISION, BACKEND = "FEDS_PRECISION", "FEDS_BACKEND"
ATEN, ONEDNN, MKL = "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"


@dataclass(frozen=True, eq=False)
class Setting:
    """One row: the environment, flags for the worker, the device and the interpreter."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ("threads-1",)
    device: str = "cpu"
    python: str = sys.executable

    @property
    def exact_pixels(self) -> bool:
        """Whether pixels are promised to be within a level of those made in float32."""
        return self.environment.get(PRECISION, "float32") == "float32" and "medium" not in self.flags


AVX2 = {ATEN: "avx2", ONEDNN: "AVX2", MKL: "AVX2"}

SETTINGS = [
    Setting("1 thread, float32"),
    Setting("2 threads", flags=("threads-2",)),
    Setting("7 threads", flags=("threads-7",)),
    Setting("bfloat16", {PRECISION: "bfloat16"}),
    Setting("bfloat16, 2 threads", {PRECISION: "bfloat16"}, ("threads-2",)),
    Setting("float32 matmul 'medium'", flags=("threads-1", "medium")),
    *(Setting(f"backend {name}", {BACKEND: name}) for name in ("int_mm", "float32", "float64")),
    Setting("oneDNN off", flags=("threads-1", "no-onednn")),
    Setting("oneDNN off, backend float32", {BACKEND: "float32"}, ("threads-1", "no-onednn")),
    Setting("oneDNN off, backend int_mm", {BACKEND: "int_mm"}, ("threads-1", "no-onednn")),
    Setting("oneDNN off, bfloat16", {PRECISION: "bfloat16"}, ("threads-1", "no-onednn")),
    Setting("no AVX at all", {ATEN: "default", ONEDNN: "SSE41", MKL: "SSE4_2"}),
    Setting("AVX2 only", AVX2),
    Setting("AVX2 only, bfloat16", {**AVX2, PRECISION: "bfloat16"}),
    Setting("AVX2 only, backend int_mm", {**AVX2, BACKEND: "int_mm"}),
    Setting("AVX2 only, backend float64", {**AVX2, BACKEND: "float64"}),
    Setting("AVX-512 without VNNI", {ONEDNN: "AVX512_CORE", BACKEND: "int_mm"}),
    Setting("AVX-512 VNNI, no AMX", {ONEDNN: "AVX512_CORE_VNNI", BACKEND: "int_mm"}),
    Setting("AVX-512 bfloat16, no AMX", {ONEDNN: "AVX512_CORE_BF16", PRECISION: "bfloat16"}),
    Setting("MKL in its compatible mode", {"MKL_CBWR": "COMPATIBLE", BACKEND: "float32"}),
    Setting("CUDA, float32", {PRECISION: "float32"}, device="cuda"),
    Setting("CUDA, bfloat16", {PRECISION: "bfloat16"}, device="cuda"),
    Setting("CUDA, backend float64", {BACKEND: "float64"}, device="cuda"),
]


ELSEWHERE = {  # what another interpreter is asked for: the rest is the same code in the same libraries
    "1 thread, float32", "7 threads", "bfloat16", "backend float32", "backend float64", "oneDNN off", "AVX2 only",
    "AVX2 only, bfloat16",
}  # fmt: skip


def work(setting: Setting, task: str, folder: Path) -> dict[str, dict[str, object]]:
    """What one worker says, or {"refused": sentence}."""
    environment = {
        **os.environ, "OMP_NUM_THREADS": "8", PRECISION: "float32", **setting.environment,
        "FEDS_WEIGHTS": str(CORPUS / "networks"),
    }  # fmt: skip
    command = [setting.python, str(HERE / "worker.py"), task, str(folder), setting.device, ",".join(setting.flags)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        return {"refused": (run.stderr.strip().splitlines() or ["it said nothing"])[-1]}
    return json.loads(run.stdout.splitlines()[-1])


def judge(setting: Setting, said: dict[str, dict[str, object]], expected: dict[str, str]) -> tuple[str, bool]:
    """A row of the table, and whether something is wrong. A refusal is a sentence, not a wrong symbol."""
    if "skipped" in said:
        return f"| {setting.name} | skipped: {said['skipped']} | | | | |", False
    if "refused" in said:
        by_feds = said["refused"].startswith("fedscodec.errors.")
        return f"| {setting.name} | refused: {said['refused'].removeprefix('fedscodec.errors.')} | | | | |", not by_feds
    found, about = said["found"], said["about"]
    wrong = [name for name, symbols in expected.items() if found.get(name, {}).get("symbols") != symbols]
    pixels = [line for line in found.values() if "most" in line]
    most = max(line["most"] for line in pixels)
    beyond = sum(line["beyond"] for line in pixels) / sum(line["samples"] for line in pixels)
    made = f"{about['torch']}, {about['backend']}, {about['capability']}"
    row = f"| {setting.name} | {made} | {len(expected)} | {len(wrong)} | {most} | {beyond:.3%} |"
    for name in wrong:
        sys.stderr.write(f"{setting.name}: {name} has other symbols\n")
    return row, bool(wrong) or (setting.exact_pixels and most > 1)


def main() -> int:
    """Run the matrix and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", action="append", default=[], help="another interpreter, with another torch")
    parser.add_argument("--markdown", type=Path, help="write the table here too")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--only", default="", help="settings whose name holds this word")
    arguments = parser.parse_args()
    others = [
        Setting(f"{setting.name}, interpreter {number}", setting.environment, setting.flags, python=python)
        for number, python in enumerate(arguments.python, start=2)
        for setting in SETTINGS
        if setting.name in ELSEWHERE
    ]
    chosen = [setting for setting in [*SETTINGS, *others] if arguments.only in setting.name]
    index = json.loads((CORPUS / "v1" / "index.json").read_text())
    expected = {name: line["symbols_sha256"] for name, line in index.items()}
    lines = [
        "| setting | torch, exact backend, CPU | files | other symbols | furthest pixel | samples beyond 1 level |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    failed = False
    with tempfile.TemporaryDirectory() as place:
        folders = {setting: Path(place) / f"{number:02}" for number, setting in enumerate(chosen)}
        for folder in folders.values():
            folder.mkdir()
        with ThreadPoolExecutor(arguments.jobs) as pool:
            written = pool.map(lambda setting: work(setting, "encode", folders[setting]), chosen)
            for setting, said in zip(chosen, written, strict=True):
                for name, symbols in said.get("found", {}).items():
                    expected[f"{folders[setting].name}/{name}"] = symbols
                sys.stderr.write(f"{setting.name}: encoded\n")
            read = pool.map(lambda setting: work(setting, "decode", folders[setting]), chosen)
            for setting, said in zip(chosen, read, strict=True):
                row, wrong = judge(setting, said, expected)
                lines.append(row)
                failed |= wrong
                sys.stderr.write(f"{row}\n")
    print("\n".join(lines))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""The settings of the portability matrix: threads, precision, exact backend, instruction set, device."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

PRECISION, BACKEND = "FEDS_PRECISION", "FEDS_EXACT_BACKEND"
ATEN, ONEDNN, MKL = "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"


@dataclass(frozen=True, eq=False)
class Setting:
    """One row: the environment, flags for the worker, the device, the interpreter, and the networks it can run."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ("threads-1",)
    device: str = "cpu"
    python: str = sys.executable
    networks: str = "*"

    def covers(self, name: str) -> bool:
        """Whether a file of that name, which begins with that of its network, can be decoded here."""
        return fnmatch(name.rpartition("/")[2], self.networks)

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
    *(
        Setting(
            f"ONNX Runtime, {number} thread{'s'[: number - 1]}",
            {"OMP_NUM_THREADS": str(number)},
            ("onnx",),
            networks="mini-light-*",
        )
        for number in (1, 2)
    ),
    Setting("CUDA, float32", {PRECISION: "float32"}, ("threads-1", "no-tf32"), device="cuda"),
    Setting("CUDA, bfloat16", {PRECISION: "bfloat16"}, device="cuda"),
    Setting("CUDA, backend float64", {BACKEND: "float64"}, ("threads-1", "no-tf32"), device="cuda"),
]

ELSEWHERE = {  # what another interpreter is asked for: the rest is the same code in the same libraries
    "1 thread, float32", "7 threads", "bfloat16", "backend float32", "backend float64", "oneDNN off", "AVX2 only",
    "AVX2 only, bfloat16",
}  # fmt: skip


def chosen(word: str, interpreters: Iterable[str]) -> list[Setting]:
    """The settings whose name holds a word, and those for other interpreters, which are counted from 2 on."""
    others = [
        replace(setting, name=f"{setting.name}, interpreter {number}", python=python)
        for number, python in enumerate(interpreters, start=2)
        for setting in SETTINGS
        if setting.name in ELSEWHERE
    ]
    return [setting for setting in [*SETTINGS, *others] if word in setting.name]

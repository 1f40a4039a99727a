"""`ModelSpec`: everything that tells one network of the family from another, as one frozen value.

Every ablation of the paper is one line in `VARIANTS`. Where the paper leaves a number open, the choice and its
reason stand here and nowhere else:

* latents of the student: M = 160 in 5 slices of 32 (Sec. 3.2, 5.1). The 64 channels per slice of Sec. 7 would make
  M = 320 and fit neither parameter count.
* residual groups of the student: one block per group (Sec. 3.2; Sec. 4 speaks of removing them).
* widths of the hyperprior and of the slice networks are not published. Ours are chosen so that both parameter counts
  of Table 1 are met: most of them sit in h_s, which runs at 1/64 and 1/32 of the picture's side and so costs little.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from typing import Any, Literal

LAMBDAS = (0.0016, 0.0032, 0.0075, 0.015, 0.03, 0.045, 0.06)
"""λ of q1 … q7 for MSE (Sec. 5.1); loss is R + λ·255²·MSE with R in bits per pixel."""

MS_SSIM_LAMBDAS = (2.40, 4.58, 8.73, 16.64, 31.73, 60.50, 115.37)
"""λ of q1 … q7 for MS-SSIM; loss is R + λ·(1 − MS-SSIM)."""

STRIDE = 64
"""Pictures are padded to a multiple of this: four halvings to y and two more to z."""


@dataclass(frozen=True)
class WindowAttention:
    """A Swin attention module (Sec. 6): its version, window side in latent pixels, heads and number of blocks."""

    version: Literal["swin-v1", "swin-v2"] = "swin-v2"
    window: int = 8
    heads: int = 8
    blocks: int = 1

    def __post_init__(self) -> None:
        if self.version not in ("swin-v1", "swin-v2"):
            raise ValueError(f"version of window attention is swin-v1 or swin-v2, found {self.version!r}")
        for name, most in (("window", 32), ("heads", 64), ("blocks", 16)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:  # biases alone hold window⁴ · heads numbers
                raise ValueError(f"{name} of window attention must be a whole number from 1 to {most}, found {value}")


_COUNTS = ("filters", "latents", "slices", "hyper_latents", "hyper_filters")


@dataclass(frozen=True)
class ModelSpec:
    """One network: the teacher of the paper by default."""

    filters: int = 128  # N, Sec. 5.1
    latents: int = 400  # M, Sec. 3.1
    slices: int = 8  # Sec. 7
    blocks_per_group: int = 6  # residual groups (RG); 0 leaves the three groups out
    attention: WindowAttention | None = WindowAttention()  # SA, Sec. 6
    framework: Literal["cnn", "transformer"] = "cnn"  # "transformer": groups of mixed blocks, Sec. 4.3.3
    wavelet: bool = False  # linear Haar shortcut beside g_a and g_s; not in the paper
    hyper_latents: int = 192  # channels of z, and width of h_a
    hyper_filters: int = 624  # width of h_s
    slice_filters: tuple[int, ...] = (
        224,
        176,
        128,
    )  # hidden widths of every mean and scale network, 3x3 each
    scales: int = 64  # probability tables of y, log-spaced
    smallest_scale: float = 0.11
    largest_scale: float = 128.0
    lambdas: tuple[float, ...] = LAMBDAS  # one pair of gain vectors each; a single value is the paper's way
    metric: Literal["mse", "ms-ssim"] = "mse"

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in _COUNTS}
        counts |= {f"slice_filters[{i}]": width for i, width in enumerate(self.slice_filters)}
        for name, count in counts.items():
            if type(count) is not int or not 1 <= count <= 4096:
                raise ValueError(f"{name} must be a whole number from 1 to 4096, found {count!r}")
        if not 1 <= len(self.slice_filters) <= 8 or not 1 <= len(self.lambdas) <= 64:
            found = f"{len(self.slice_filters)} and {len(self.lambdas)}"
            raise ValueError(f"a network has 1 to 8 slice_filters and 1 to 64 lambdas, found {found}")
        if type(self.blocks_per_group) is not int or not 0 <= self.blocks_per_group <= 64:
            raise ValueError(f"blocks_per_group must be a whole number from 0 to 64, found {self.blocks_per_group}")
        if self.latents % self.slices or self.slices > 63:
            raise ValueError(f"{self.latents} latents do not split into {self.slices} slices, of which 63 are the most")
        if type(self.scales) is not int or not 2 <= self.scales <= 128:  # an index is int8
            raise ValueError(f"scales must be a whole number from 2 to 128, found {self.scales}")
        if not 0 < self.smallest_scale < self.largest_scale < 1000:
            raise ValueError(f"scales must grow, found {self.smallest_scale} … {self.largest_scale}")
        increasing = all(
            a < b for a, b in zip((0, *self.lambdas), (*self.lambdas, math.inf), strict=True)
        )  # NaN is not
        if not increasing:
            raise ValueError(f"lambdas must be positive and increasing, found {self.lambdas}")
        if type(self.wavelet) is not bool:
            raise ValueError(f"wavelet is true or false, found {self.wavelet!r}")
        if self.framework not in ("cnn", "transformer"):
            raise ValueError(f"framework is cnn or transformer, found {self.framework!r}")
        if self.metric not in ("mse", "ms-ssim"):
            raise ValueError(f"metric is mse or ms-ssim, found {self.metric!r}")

    @property
    def middle_lambda(self) -> float:
        """λ of q4, at which the gains of a fresh network are one and a training sample weighs one."""
        return (LAMBDAS if self.metric == "mse" else MS_SSIM_LAMBDAS)[3]

    @property
    def slice_channels(self) -> int:
        """Channels of one slice."""
        return self.latents // self.slices

    @property
    def side_channels(self) -> int:
        """Channels that h_s hands to every slice network: M for means and M for scales."""
        return 2 * self.latents

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, as stored in a weights file."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ModelSpec:
        """Rebuild a spec; raises TypeError or ValueError on unknown fields or impossible values."""
        if not isinstance(values, dict):
            raise TypeError(f"a spec is a set of named values, found {type(values).__name__}")
        if unknown := set(values) - set(ModelSpec.__dataclass_fields__):
            raise TypeError(f"a spec has no field {sorted(map(str, unknown))[0]}")
        values = dict(values)
        if values.get("attention") is not None:
            values["attention"] = WindowAttention(**values["attention"])
        for name in ("slice_filters", "lambdas"):
            values[name] = tuple(values.get(name, ModelSpec.__dataclass_fields__[name].default))
        return ModelSpec(**values)


TEACHER = ModelSpec()
STUDENT = replace(TEACHER, latents=160, slices=5, blocks_per_group=1, attention=None, hyper_filters=400)
BASELINE = replace(TEACHER, latents=320, blocks_per_group=0, attention=None)
TINY = replace(  # a toy for the tests; every part of a student in small
    STUDENT, filters=8, latents=12, slices=2, blocks_per_group=0, wavelet=True, hyper_latents=4, hyper_filters=8,
    slice_filters=(12, 8), scales=24, largest_scale=16.0,
)  # fmt: skip

VARIANTS: dict[str, ModelSpec] = {
    "teacher": TEACHER,
    "student": replace(STUDENT, wavelet=True),
    "student-paper": STUDENT,
    "teacher-wavelet": replace(TEACHER, wavelet=True),
    "baseline": BASELINE,  # Fig. 6
    "baseline+rg": replace(BASELINE, blocks_per_group=6),
    "baseline+rg+sa": replace(TEACHER, latents=320),
    "baseline+rg+sa+ic": TEACHER,
    "teacher-no-attention": replace(TEACHER, attention=None),  # Table 4
    "teacher-swin-v1": replace(TEACHER, attention=WindowAttention("swin-v1")),
    "teacher-swin-v2": TEACHER,
    "transformer-baseline": replace(  # Table 3
        TEACHER, framework="transformer", latents=320, slices=5, blocks_per_group=1, attention=None
    ),
    "transformer-teacher": replace(TEACHER, framework="transformer", blocks_per_group=3),
    "transformer-student": replace(STUDENT, framework="transformer"),
    "tiny": TINY,
}
"""Name → spec. Fig. 6 is baseline … baseline+rg+sa+ic, Table 4 is teacher-no-attention … teacher-swin-v2."""

"""`ModelSpec`: everything that differs between networks, as one frozen value.

There are two families: light networks, which a CPU can train and a laptop can run, and networks of the paper's size.
Every ablation of the paper is one line in `VARIANTS`, for both. Where the paper leaves a number open, our choice and
its reason are here and nowhere else:

* latents of the student: M = 160 in 5 slices of 32 (Sec. 3.2, 5.1). The 64 channels per slice of Sec. 7 would make
  M = 320 and fit neither parameter count.
* residual groups of the student: one block per group (Sec. 3.2; Sec. 4 speaks of removing them).
* widths of the hyperprior and of the slice networks are not published. Ours are chosen so that both parameter counts
  of Table 1 are met: most of them sit in h_s, which runs at 1/64 and 1/32 of the picture's side and so costs little.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from ..entropy.fixedpoint import FINE_MEAN_UNIT, MEAN_UNIT
from ..entropy.parts import CORNERS, EVEN, ODD, TURNS, Part
from ..metrics.table import LOSSES

LAMBDAS = LOSSES["mse"].lambdas
"""λ of q1 … q7 for MSE (Sec. 5.1); loss is R + λ·255²·MSE with R in bits per pixel."""
LEAST_LAMBDA, MOST_LAMBDA = 1e-9, 1e9

MOST_BIASES = 2**22
"""Biases of the logits of a block of window attention, float32: 16 MiB, where that of the teacher has 2¹⁵."""

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
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"{name} of window attention must be a whole number from 1 to {most}, found {value}")
        if (biases := self.heads * self.window**4) > MOST_BIASES:  # for which a file needs only a few numbers
            raise ValueError(f"window attention has at most {MOST_BIASES} biases, heads · window⁴, found {biases}")


@dataclass(frozen=True)
class Stage:
    """One resolution of g_a and, mirrored, of g_s: maps of 1/at of the picture's side, and their blocks.

    kind: the kind of blocks, a name in `networks.blocks.KINDS`; blocks: their number; attention comes before them.
    """

    at: int
    kind: str
    width: int
    blocks: int
    attention: WindowAttention | None = None

    def __post_init__(self) -> None:
        if type(self.at) is not int or self.at not in (2, 4, 8, 16):
            raise ValueError(f"a stage lies at 2, 4, 8 or 16, found {self.at!r}")
        if type(self.kind) is not str:
            raise ValueError(f"the kind of a stage is a name, found {self.kind!r}")
        if type(self.width) is not int or not 1 <= self.width <= 4096:
            raise ValueError(f"width of a stage must be a whole number from 1 to 4096, found {self.width!r}")
        if type(self.blocks) is not int or not 0 <= self.blocks <= 64:
            raise ValueError(f"blocks of a stage must be a whole number from 0 to 64, found {self.blocks!r}")
        if self.attention is not None and not isinstance(self.attention, WindowAttention):
            raise ValueError(f"attention of a stage is window attention or none, found {self.attention!r}")


def paper_stages(
    blocks: int, attention: WindowAttention | None = None, *, width: int = 128, kind: str = "residual"
) -> tuple[Stage, ...]:
    """Stages as in the paper, at 1/2, 1/4 and 1/8, with attention after the first and second down-sampling (Fig. 2)."""
    return (*(Stage(at, kind, width, blocks, attention) for at in (2, 4)), Stage(8, kind, width, blocks))


_BASE = {
    2: (("even cells", EVEN), ("odd cells", ODD)),
    4: tuple((f"corner {i + 1}", cells) for i, cells in enumerate(CORNERS)),
}
"""The names and cells of the passes over the channels that are coded first, by their number."""


@dataclass(frozen=True)
class Passes:
    """The entropy side of light networks: latents coded cell by cell in passes; each pass sees all before it.

    base: channels that are coded first; base_passes: 2 for the colours of a checkerboard, or 4 for the corners of 2×2
    squares; base_streams: 1 for all of them in one stream, or 2 for the even and the odd cells. new: channels that are
    coded last, in two checkerboard passes of a stream each (a teacher's, or none). All channels between are coded in
    four passes over the corners of 2×2 squares, a stream each. side: channels of h_s's output. width: of every network.
    """

    base: int = 32
    new: int = 0
    base_streams: int = 1
    side: int = 192
    width: int = 192
    base_passes: int = 2

    def __post_init__(self) -> None:
        if type(self.base_passes) is not int or self.base_passes not in _BASE:
            raise ValueError(f"base_passes of passes is 2 or 4, found {self.base_passes!r}")
        for name, least in (("base", 1), ("new", 0), ("base_streams", 1), ("side", 1), ("width", 1)):
            value, most = getattr(self, name), 2 if name == "base_streams" else 4096
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} of passes must be a whole number from {least} to {most}, found {value!r}")

    def parts(self, latents: int) -> tuple[Part, ...]:
        """The parts of this many latents, in coding order."""
        old, two, count = latents - self.new, self.base_streams == 2, self.base_passes
        start, first, new = self.base, 2 + two, count + 4  # first stream of turns, first part of new channels
        in_stream = [two * (2 * i >= count) for i in range(count)]  # of the base's passes, from 0
        base = [
            Part(f"base, {name}", i, (0, start), start if i else 0, 1 + at, at, cells, at not in in_stream[i + 1 :])
            for i, (at, (name, cells)) in enumerate(zip(in_stream, _BASE[count], strict=True))
        ]
        rest = [
            Part(f"turn {i + 1}", count + i, (self.base, old), old if i else self.base, first + i, first + i - 1, cells)
            for i, cells in enumerate(TURNS)
        ]
        last = [
            Part(f"new, {name}", new + i, (old, latents), latents if i else old, first + 4 + i, first + 3 + i, cells)
            for i, (name, cells) in enumerate(_BASE[2])
        ]
        return (*base, *rest, *(last if self.new else ()))


SHORTCUTS = ("none", "haar", "principal")
_COUNTS = ("latents", "slices", "hyper_latents", "hyper_filters")
_BEFORE = ("filters", "blocks_per_group", "attention", "framework", "wavelet")
"""Fields of specs before they had stages; old weights files have them."""


@dataclass(frozen=True)
class ModelSpec:
    """One network: the teacher of the paper by default."""

    stages: tuple[Stage, ...] = paper_stages(6, WindowAttention())  # RG and SA; N = 128 filters (Sec. 5.1, 6)
    latents: int = 400  # M, Sec. 3.1
    slices: int = 8  # Sec. 7
    shortcut: Literal["none", "haar", "principal"] = "none"  # linear, beside g_a and g_s; not in the paper
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
    metric: str = "mse"  # what it was trained to lose little of, see `metrics.table.LOSSES`
    entropy: Passes | None = None  # none: ChARM (Sec. 7), by slices, hyper_filters and slice_filters

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in _COUNTS}
        counts |= {f"slice_filters[{i}]": width for i, width in enumerate(self.slice_filters)}
        for name, count in counts.items():
            if type(count) is not int or not 1 <= count <= 4096:
                raise ValueError(f"{name} must be a whole number from 1 to 4096, found {count!r}")
        if not 1 <= len(self.slice_filters) <= 8 or not 1 <= len(self.lambdas) <= 64:
            found = f"{len(self.slice_filters)} and {len(self.lambdas)}"
            raise ValueError(f"a network has 1 to 8 slice_filters and 1 to 64 lambdas, found {found}")
        places = [stage.at for stage in self.stages]
        if not places or places != [places[0] * 2**i for i in range(len(places))]:
            raise ValueError(f"stages lie each at half the size of the one before, found {places}")
        if self.entropy is not None and not isinstance(self.entropy, Passes):
            raise ValueError(f"entropy of a network is passes or none, found {self.entropy!r}")
        if self.entropy and ((rest := self.latents - self.entropy.base - self.entropy.new) < 4 or rest % 4):
            raise ValueError(f"{self.latents} latents leave {rest} for the turns, which should be a multiple of 4")
        if self.entropy is None and self.latents % self.slices or self.slices > 63:
            raise ValueError(f"{self.latents} latents do not split into {self.slices} slices, of which 63 are the most")
        if type(self.scales) is not int or not 2 <= self.scales <= 128:  # an index is int8
            raise ValueError(f"scales must be a whole number from 2 to 128, found {self.scales}")
        if not 0 < self.smallest_scale < self.largest_scale < 1000:
            raise ValueError(f"scales must grow, found {self.smallest_scale} … {self.largest_scale}")
        inside = all(LEAST_LAMBDA <= value <= MOST_LAMBDA for value in self.lambdas)  # NaN is not
        if not inside or any(a >= b for a, b in pairwise(self.lambdas)):
            limits = f"{LEAST_LAMBDA:g} to {MOST_LAMBDA:g}"
            raise ValueError(f"lambdas must increase and lie in {limits}, found {self.lambdas!s:.200}")
        if self.shortcut not in SHORTCUTS:
            raise ValueError(f"shortcut is {', '.join(SHORTCUTS[:-1])} or {SHORTCUTS[-1]}, found {self.shortcut!r}")
        if self.metric not in LOSSES:
            raise ValueError(f"metric is {' or '.join(LOSSES)}, found {self.metric!r}")

    @property
    def middle_lambda(self) -> float:
        """λ of q4, at which the gains of a fresh network are one and a training sample has weight one."""
        return LOSSES[self.metric].lambdas[3]

    @property
    def tap_widths(self) -> tuple[int, ...]:
        """Channels of the inner maps that g_a and then g_s return, in the order they are computed."""
        widths = [stage.width for stage in self.stages]
        return (*widths, *reversed(widths))

    @property
    def slice_channels(self) -> int:
        """Channels of one slice."""
        return self.latents // self.slices

    def parts(self) -> tuple[Part, ...]:
        """The parts, in coding order."""
        return _parts(self.entropy, self.latents, self.slices)

    @property
    def expects_the_rest(self) -> bool:
        """Whether latents that were not read are set to the networks' prediction instead of zero."""
        return self.entropy is not None

    @property
    def mean_unit(self) -> int:
        """Means and ŷ are integers in 1/unit of a latent's quantisation step."""
        return MEAN_UNIT if self.entropy is None else FINE_MEAN_UNIT

    @property
    def decisive(self) -> str:
        """What besides the integers decides the symbols of a file, for the fingerprint."""
        if self.entropy is None:
            return f"{self.latents} {self.slices} {self.hyper_latents} {self.slice_filters}"
        named = dataclasses.asdict(self.entropy)
        if self.entropy.base_passes == 2:  # as before there was a choice
            del named["base_passes"]
        passes = " ".join(f"{name}={value}" for name, value in named.items())
        return f"passes {passes} {self.latents} {self.hyper_latents} {self.scales} {len(self.lambdas)}"

    @property
    def streams(self) -> int:
        """How many streams y has; z has one more."""
        return self.parts()[-1].stream

    @property
    def table_sets(self) -> int:
        """How many sets of frequency tables y has if they are fitted."""
        return 1 + max(part.tables for part in self.parts())

    @property
    def side_channels(self) -> int:
        """Channels that every slice network gets from h_s: M for means and M for scales."""
        return 2 * self.latents

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, as stored in a weights file."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ModelSpec:
        """Rebuild a spec. Raises TypeError or ValueError on unknown fields or impossible values.

        Missing fields take the default's values. Old specs without stages are supported.
        """
        if not isinstance(values, dict):
            raise TypeError(f"a spec is a set of named values, found {type(values).__name__}")
        values = _with_stages(dict(values)) if not {"stages", "shortcut"} & set(values) else dict(values)
        if unknown := set(values) - set(ModelSpec.__dataclass_fields__):
            raise TypeError(f"a spec has no field {sorted(map(str, unknown))[0]}")
        if values.get("entropy") is not None and not isinstance(values["entropy"], Passes):
            values["entropy"] = Passes(**values["entropy"])
        if "stages" in values:
            values["stages"] = tuple(map(_stage, values["stages"]))
        for name in ("slice_filters", "lambdas"):
            values[name] = tuple(values.get(name, ModelSpec.__dataclass_fields__[name].default))
        return ModelSpec(**values)


def _stage(values: Any) -> Stage:
    """A stage from its JSON value."""
    if isinstance(values, Stage):
        return values
    return Stage(**{**values, "attention": _attention(values.get("attention"))})


def _attention(values: Any) -> WindowAttention | None:
    return None if values is None else WindowAttention(**values)


def _with_stages(values: dict[str, Any]) -> dict[str, Any]:
    """Convert an old spec without stages."""
    old = {name: values.pop(name) for name in _BEFORE if name in values}
    attention = _attention(old.get("attention", {}))
    kinds = {"cnn": "residual", "transformer": f"mixed-{(attention.version if attention else 'swin-v1')[-2:]}"}
    if (framework := old.get("framework", "cnn")) not in kinds:
        raise ValueError(f"framework is cnn or transformer, found {framework!r}")
    width, blocks = old.get("filters", 128), old.get("blocks_per_group", 6)
    values["stages"] = paper_stages(blocks, attention, width=width, kind=kinds[framework])
    if type(wavelet := old.get("wavelet", False)) is not bool:
        raise ValueError(f"wavelet is true or false, found {wavelet!r}")
    values["shortcut"] = "haar" if wavelet else "none"
    return values


@functools.cache
def _parts(passes: Passes | None, latents: int, slices: int) -> tuple[Part, ...]:
    """The parts of passes, or slices of channels one after the other, each in its own stream (Sec. 7)."""
    if passes is not None:
        return passes.parts(latents)
    width = latents // slices
    return tuple(Part(f"slice {i + 1}", i, (i * width, (i + 1) * width), i * width, i + 1, i) for i in range(slices))


def light_stages(
    blocks: tuple[int, int, int, int] = (1, 2, 3, 1), attention: WindowAttention | None = None, *, kind: str = "light"
) -> tuple[Stage, ...]:
    """Stages of light networks at 1/2 … 1/16, with attention after the second and third down-sampling.

    Each has the width of 32, 64, 192 and 320 channels.
    """
    sizes = zip((2, 4, 8, 16), (32, 64, 192, 320), blocks, (None, attention, attention, None), strict=True)
    return tuple(Stage(at, kind, width, count, windows) for at, width, count, windows in sizes)


_MORE = (1, 6, 10, 6)  # residual groups of the light teacher: more blocks at 1/4, 1/8 and 1/16
_SWIN_V1, _SWIN_V2 = WindowAttention("swin-v1"), WindowAttention("swin-v2")

STUDENT = ModelSpec(
    light_stages(), latents=320, shortcut="principal", hyper_latents=64, entropy=Passes(base_passes=4)
)  # fmt: skip
TEACHER = replace(
    STUDENT, stages=light_stages(_MORE, _SWIN_V2), latents=400, entropy=Passes(new=80, base_streams=2, base_passes=4)
)  # fmt: skip
TINY_LIGHT = replace(  # a toy for the tests; every part of a light student in small
    STUDENT, stages=tuple(Stage(at, "light", width, 1) for at, width in ((2, 4), (4, 6), (8, 8), (16, 10))),
    latents=24, hyper_latents=6, entropy=Passes(base=4, side=12, width=16), scales=24, largest_scale=16.0,
)  # fmt: skip

TEACHER_PAPER = ModelSpec()
STUDENT_PAPER = replace(TEACHER_PAPER, latents=160, slices=5, stages=paper_stages(1), hyper_filters=400)
BASELINE_PAPER = replace(TEACHER_PAPER, latents=320, stages=paper_stages(0))
TINY = replace(  # a toy for the tests; every part of a student of the paper in small
    STUDENT_PAPER, stages=paper_stages(0, width=8), latents=12, slices=2, shortcut="haar", hyper_latents=4,
    hyper_filters=8, slice_filters=(12, 8), scales=24, largest_scale=16.0,
)  # fmt: skip

VARIANTS: dict[str, ModelSpec] = {
    "student": STUDENT,
    "teacher": TEACHER,
    "baseline": STUDENT,  # Fig. 6
    "baseline+rg": replace(STUDENT, stages=light_stages(_MORE)),
    "baseline+rg+sa": replace(STUDENT, stages=TEACHER.stages),
    "baseline+rg+sa+ic": TEACHER,
    "teacher-no-attention": replace(TEACHER, stages=light_stages(_MORE)),  # Table 4
    "teacher-swin-v1": replace(TEACHER, stages=light_stages(_MORE, _SWIN_V1)),
    "teacher-swin-v2": TEACHER,
    "transformer-baseline": replace(STUDENT, stages=light_stages(kind="light-mixed-v1")),  # Table 3
    "transformer-teacher": replace(TEACHER, stages=light_stages((1, 3, 5, 3), _SWIN_V2, kind="light-mixed-v2")),
    "transformer-student": replace(STUDENT, stages=light_stages((1, 1, 2, 1), kind="light-mixed-v1")),
    "student-paper": STUDENT_PAPER,
    "student-paper-wavelet": replace(STUDENT_PAPER, shortcut="haar"),
    "teacher-paper": TEACHER_PAPER,
    "teacher-paper-wavelet": replace(TEACHER_PAPER, shortcut="haar"),
    "paper-baseline": BASELINE_PAPER,  # Fig. 6
    "paper-baseline+rg": replace(BASELINE_PAPER, stages=paper_stages(6)),
    "paper-baseline+rg+sa": replace(TEACHER_PAPER, latents=320),
    "paper-baseline+rg+sa+ic": TEACHER_PAPER,
    "paper-teacher-no-attention": replace(TEACHER_PAPER, stages=paper_stages(6)),  # Table 4
    "paper-teacher-swin-v1": replace(TEACHER_PAPER, stages=paper_stages(6, _SWIN_V1)),
    "paper-teacher-swin-v2": TEACHER_PAPER,
    "paper-transformer-baseline": replace(  # Table 3
        TEACHER_PAPER, stages=paper_stages(1, kind="mixed-v1"), latents=320, slices=5
    ),
    "paper-transformer-teacher": replace(TEACHER_PAPER, stages=paper_stages(3, _SWIN_V2, kind="mixed-v2")),
    "paper-transformer-student": replace(STUDENT_PAPER, stages=paper_stages(1, kind="mixed-v1")),
    "tiny": TINY,
    "tiny-light": TINY_LIGHT,
}
"""Name → spec: first the light networks, then those of the paper's size, as printed and with the wavelet shortcut.

Fig. 6 is baseline … baseline+rg+sa+ic, Table 4 is teacher-no-attention … teacher-swin-v2.
"""

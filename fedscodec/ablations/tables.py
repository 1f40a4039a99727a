"""The paper's ablations as values: which networks, from where, by which recipe, and what the paper found.

All are of the light family, whose every part has a spec of its own (`networks.spec.VARIANTS`). A variant starts from
weights that all variants of its table share (a larger network grows from them, and at first equals them), or fresh.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import FedsError
from ..training.recipe import Recipe, recipe_from

GIVEN = "given"
"""The teacher that is given to the whole table."""


@dataclass(frozen=True)
class Variant:
    """A network and how it is trained. teacher: GIVEN, the name of a variant before it in the table, or none."""

    name: str
    title: str
    network: str  # in VARIANTS
    start: Literal["weights", "fresh"] = "weights"
    recipe: str = "train"
    changes: Mapping[str, Any] = field(default_factory=dict)  # fields of the recipe
    teacher: str | None = None


@dataclass(frozen=True)
class Table:
    """Variants that are compared, the first of which is the baseline. changes: fields of every variant's recipe."""

    name: str
    title: str
    paper: str  # what the paper found
    variants: tuple[Variant, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def baseline(self) -> Variant:
        """What all others are compared with."""
        return self.variants[0]

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher must be given."""
        return any(variant.teacher == GIVEN for variant in self.variants)

    @property
    def needs_weights(self) -> bool:
        """Whether weights must be given that variants start from."""
        return any(variant.start == "weights" for variant in self.variants)

    @property
    def crop(self) -> int:
        """Side of the crops that all variants are trained on."""
        return self.recipe(self.baseline).crop

    def variant(self, name: str) -> Variant:
        """The variant of that name; FedsError where there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise FedsError(f"{name}: no such variant in {self.name}; there are {known}")

    def overrides(self, variant: Variant, *, steps: int = 0, seed: int = 1) -> dict[str, Any]:
        """The fields of a variant's recipe that differ from those of the recipe that it names."""
        start = _GOES_ON if variant.start == "weights" else {}
        return {**_ALL, **start, **self.changes, **variant.changes, "steps": steps, "seed": seed}

    def recipe(self, variant: Variant, *, steps: int = 0, seed: int = 1) -> Recipe:
        """How a variant is trained."""
        return recipe_from(variant.recipe, self.overrides(variant, steps=steps, seed=seed))


_ALL: dict[str, Any] = {"shapes_every": 0.25, "save_every": 10.0}  # a fit and a checkpoint cost some steps each
_GOES_ON: dict[str, Any] = {
    "free_z": 0.0,  # it was learned by then
    "warm_up": 0.1,  # Adam's first steps are as long as any, and blocks that say nothing yet would say it all at once
    "lr": 1e-3, "side_lr": 1e-3, "rest_lr": 7e-4, "decay_from": 0.3,
}  # fmt: skip
_TAUGHT: dict[str, Any] = {"taught_share": 0.7}  # stage 3 is the student by itself, for all who had a teacher
_OUTPUT: dict[str, Any] = {**_TAUGHT, "beta": 0.0, "gamma": 0.0}

_FIG6 = Table(
    "fig6",
    "Fig. 6: what the teacher has and the student has not",
    "Residual groups bring 0.05 dB, attention 0.1 dB more, and 400 in place of 320 latents another 0.06 dB.",
    (
        Variant("baseline", "Baseline", "student"),
        Variant("rg", "+ RG", "baseline+rg"),
        Variant("rg-sa", "+ RG + SA", "baseline+rg+sa"),
        Variant("rg-sa-ic", "+ RG + SA + IC", "teacher"),
    ),
)
_TABLE4 = Table(
    "table4",
    "Table 4: attention in the teacher",
    "Swin V2 is 0.07 dB above no attention at a low rate and 0.09 dB at a high one, and 0.01 and 0.06 dB above Swin.",
    (
        Variant("none", "No attention", "teacher-no-attention"),
        Variant("swin-v1", "Swin Transformer", "teacher-swin-v1"),
        Variant("swin-v2", "Swin Transformer V2", "teacher"),
    ),
)
_FIG7 = Table(
    "fig7",
    "Fig. 7: ways to teach the student",
    "FU2024KD recovers some of what direct training loses, feature and entropy-based distillation nearly all of it.",
    (
        Variant("direct", "Direct training", "student"),
        Variant("output", "Output alone", "student", recipe="distill", changes=_OUTPUT, teacher=GIVEN),
        Variant(
            "fu2024kd", "FU2024KD", "student", recipe="distill", changes={**_OUTPUT, "delta": 1.0}, teacher=GIVEN
        ),
        Variant(
            "printed", "Ours as printed", "student", recipe="distill",
            changes={**_TAUGHT, "latent_order": "entropy", "relative": False}, teacher=GIVEN,
        ),
        Variant("units", "Ours with units", "student", recipe="distill", changes=_TAUGHT, teacher=GIVEN),
    ),
)  # fmt: skip
_TABLE3 = Table(
    "table3",
    "Table 3: the transformer framework",
    "Over VVC the baseline has −6.49 %, the teacher −9.67 %, its student −8.46 %.",
    (
        Variant("baseline", "Baseline", "transformer-baseline", "fresh"),
        Variant("teacher", "Teacher", "transformer-teacher", "fresh"),
        Variant("student-direct", "Student, direct", "transformer-student", "fresh"),
        Variant("student", "Student of the teacher", "transformer-student", "fresh", "distill", _TAUGHT, "teacher"),
    ),
)
_MORE = Table(
    "more",
    "More ways to teach the student",
    "The paper has none of these.",
    (
        Variant("direct", "Direct training", "student"),
        Variant("units", "Ours with units", "student", recipe="distill", changes=_TAUGHT, teacher=GIVEN),
        Variant("to-the-end", "Ours, taught to the end", "student", recipe="distill", teacher=GIVEN),
        Variant(
            "features", "Output and features", "student", recipe="distill", changes={**_TAUGHT, "gamma": 0.0},
            teacher=GIVEN,
        ),
        Variant(
            "latents", "Output and latents", "student", recipe="distill", changes={**_TAUGHT, "beta": 0.0},
            teacher=GIVEN,
        ),
    ),
)  # fmt: skip

TABLES: dict[str, Table] = {table.name: table for table in (_FIG6, _TABLE3, _TABLE4, _FIG7, _MORE)}
"""Name → table."""


def table(name: str) -> Table:
    """The table of that name; FedsError where there is none."""
    if name not in TABLES:
        raise FedsError(f"{name}: no such table; there are {', '.join(TABLES)}")
    return TABLES[name]


def changed(table: Table, words: Sequence[str]) -> Table:
    """The same table with fields of every variant's recipe changed, as `name=value`; FedsError for what cannot be."""
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise FedsError(f"{word}: expected NAME=VALUE, such as lr=0.0005")
        if name in ("steps", "minutes", "seed"):
            raise FedsError(f"{word}: --minutes and --seeds decide that, expected another field")
        try:
            changes[name.replace("-", "_")] = json.loads(value)
        except ValueError:
            changes[name.replace("-", "_")] = value
    found = replace(table, changes={**table.changes, **changes})
    for variant in found.variants:
        found.recipe(variant)  # which looks at the values
    return found


def fresh(table: Table) -> Table:
    """The same table with every variant starting fresh."""
    return replace(table, variants=tuple(replace(variant, start="fresh") for variant in table.variants))

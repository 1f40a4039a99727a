"""Encode to a target: find the quality at which a file has the requested size, or its picture the requested fidelity.

Qualities are continuous. On a logarithmic scale, the bytes of a file grow nearly linearly with the quality, and the
error falls nearly linearly. So a few steps of false position find the quality. Each step needs only the second half of
an encoding: the analysis of the picture is shared.

Effort comes last, because refining takes many times as long as encoding. The quality that was found is refined, which
changes the limited value by some share. Then, at most twice, the quality that should just meet the limit after refining
is refined too.

A target is a limit: a size is never exceeded, a fidelity never missed. The result is within 1 % of it (of the bytes, or
of the cost of a metric: the mean squared error, 1 − MS-SSIM, ...) or one thousandth of a quality more would cross it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..arguments import require_number
from ..errors import FedsError, TargetError
from ..metrics.table import METRICS

if TYPE_CHECKING:
    from ..images import Picture
    from .model import Model
    from .outcomes import Encoded, Progress, Stopped
    from .settings import Encoding

TOLERANCE = -math.log(0.99)
SLOPE = 0.26 / 1000
"""Change of the logarithm of bytes or error per thousandth of a quality: a first guess (Kodak, the student)."""

REFINEMENTS = 3
"""How often a picture is refined for a target, at most."""


SIZES = ("bpp", "size")
"""Targets that limit bytes; all others are metrics, which limit the loss."""
FIDELITIES = {name: metric for name, metric in METRICS.items() if metric.target}
"""Metrics that can be targets."""


@dataclass(frozen=True)
class Target:
    """A target: at most a number of bytes or bits per pixel, or at least a metric (at most, where less is better)."""

    kind: str  # size, bpp, or the name of a metric
    value: float

    def __post_init__(self) -> None:
        require_number(_option(self.kind), self.value)
        most = math.inf if self.is_size else FIDELITIES[self.kind].most
        if not 0 < self.value < most:
            below = "" if math.isinf(most) else f" and below {most:g}"
            raise FedsError(f"{_option(self.kind)}: expected a number above 0{below}, found {self.value:g}")

    @property
    def is_size(self) -> bool:
        """Whether the target limits bytes, and not the loss."""
        return self.kind in SIZES

    def limit(self, pixels: int) -> float:
        """The highest cost allowed for a picture: bytes, or the cost of a metric."""
        if self.is_size:
            return math.floor(self.value if self.kind == "size" else self.value * pixels / 8)
        return FIDELITIES[self.kind].cost(self.value)

    @property
    def asked(self) -> str:
        """The target in words: `200,000 bytes`, `0.5 bpp`, `36 dB`, `MS-SSIM 0.98`."""
        if self.is_size:
            return f"{self.value:,.0f} bytes" if self.kind == "size" else f"{self.value:g} bpp"
        return FIDELITIES[self.kind].asked(self.value)

    def value_of(self, cost: float, pixels: int) -> float:
        """A cost, as `limit` counts it, in the unit of the target."""
        if self.is_size:
            return cost if self.kind == "size" else 8 * cost / pixels
        return FIDELITIES[self.kind].value(cost)

    def formatted(self, cost: float, pixels: int) -> str:
        """A cost in words: `23,456 bytes`, `36.02 dB`."""
        value = self.value_of(cost, pixels)
        if self.is_size:
            return f"{value:,.0f} bytes" if self.kind == "size" else f"{value:.4f} bpp"
        return FIDELITIES[self.kind].formatted(value)

    def error(self, original: Picture, decoded: Picture) -> float:
        """The cost of a decoded picture, if the target is a metric."""
        metric = FIDELITIES[self.kind]
        return metric.cost(metric.measure(original.pixels, decoded.pixels))


def _option(name: str) -> str:
    return name.replace("_", "-")


def only_target(given: Mapping[str, float | None], quality: float | None = None) -> Target | None:
    """The target among the arguments, if any. Raises FedsError for two targets, or a target and a quality.

    Also raises FedsError if a metric needs a package that is not installed.
    """
    wanted = [Target(kind, value) for kind, value in given.items() if value is not None]
    if len(wanted) + (quality is not None) > 1:
        *names, last = ("quality", *SIZES, *FIDELITIES)
        raise FedsError(f"use only one of {', '.join(names)} and {last}")
    if not wanted:
        return None
    if not wanted[0].is_size and (how := FIDELITIES[wanted[0].kind].missing()):
        raise FedsError(how)
    return wanted[0]


@dataclass(frozen=True)
class Hit:
    """The result of a search: a file within the target, and the cost of the search.

    `value` is in the unit of the target, `reached` the same in words; `note` is a sentence if no quality can use all
    that the target allows.
    """

    encoded: Encoded
    value: float
    reached: str
    note: str
    encodes: int
    seconds: float


def encode_to_target(
    picture: Picture,
    model: Model,
    target: Target,
    how: Encoding | None = None,
    *,
    progress: Progress | None = None,
    stopped: Stopped | None = None,
) -> Hit:
    """The best file within a target. Raises TargetError if there is none, which names the nearest reachable value.

    `how` has all settings except the quality and the target. Reports refinements to `progress`, but not the search. If
    `stopped` is true, the refinement ends with the best result so far.
    """
    pixels, limit = picture.width * picture.height, target.limit(picture.width * picture.height)
    trials = _Trials(picture, model, target, how, progress, stopped)
    lowest, highest = 1000, 1000 * len(model.spec.lambdas)
    found = search(trials.cost, limit, lowest, highest, rising=target.is_size)

    def at_the_end(quality: int) -> str:
        which = "lowest" if quality == lowest else "highest"
        comes_to = target.formatted(trials.cost(quality), pixels)
        return f"q{quality / 1000:g}, the {which} quality of {model.name}, comes to {comes_to}"

    if found is None:
        end = lowest if target.is_size else highest
        hint = _metadata_hint(trials.encoded(end).data, limit) if target.is_size else ""
        raise TargetError(f"{target.asked} cannot be reached: {at_the_end(end)}{hint}")
    cost, end = trials.cost(found), highest if target.is_size else lowest
    encoded = trials.encoded(found)
    note = "" if found != end or close(cost, limit) else f"{at_the_end(end)}, where {target.asked} would do"
    if trials.has_effort:
        cost, encoded = _refined(trials, found, limit, (lowest, highest))
    return Hit(
        encoded,
        target.value_of(cost, pixels),
        target.formatted(cost, pixels),
        note,
        len(trials.costs),
        trials.seconds,
    )


def _metadata_hint(data: bytes, limit: float) -> str:
    """A hint if the metadata makes even the smallest file too large."""
    from ..boxes import EXIF, ICC, XMP
    from ..fileformat import unpack

    sizes = unpack(data, max_pixels=None).box_sizes
    beside = sum(sizes.get(kind, 0) for kind in (ICC, EXIF, XMP))
    if not beside or len(data) - beside > limit:
        return ""
    return f"; {beside:,} bytes of it are ICC profile, Exif and XMP, which --strip leaves out"


def _refined(trials: _Trials, found: int, limit: float, ends: tuple[int, int]) -> tuple[float, Encoded]:
    """The best file within a limit, with its cost: the quality that was found, or a refined one near it."""
    choice, tried, aim, at = [(trials.cost(found), trials.encoded(found))], set[int](), limit, found
    for _ in range(REFINEMENTS):
        tried.add(at)
        refined = trials.refined(at)
        cost = trials.cost_of(refined)
        choice.append((cost, refined))
        if close(cost, limit) or trials.is_stopped or not cost:
            break
        aim *= (1 - TOLERANCE / 4) * limit / cost
        again = search(trials.cost, aim, *ends, rising=trials.is_size)
        if again is None or again in tried:
            break
        at = again
    within = [(cost, encoded) for cost, encoded in choice if cost <= limit]
    return min(within, key=lambda one: trials.what_is_left(one[1]))


def close(cost: float, limit: float) -> bool:
    """Whether a cost is within a limit and uses at least 99 % of it."""
    return 0.99 * limit <= cost <= limit


def search(cost: Callable[[int], float], limit: float, first: int, last: int, *, rising: bool) -> int | None:
    """The whole number in first … last with the highest cost within a limit, or None if all costs are above it.

    The cost must roughly rise or fall with the number. Ends within `TOLERANCE` below the limit, at the end of the
    range, or where the next number is over the limit.
    """
    turn = 1 if rising else -1  # from here on the cost rises with turn · number
    low_end, high_end = sorted((turn * first, turn * last))
    aim, bound = _log(limit) - TOLERANCE / 2, _log(limit)
    below: list[tuple[int, float]] = []  # (position, logarithm of its cost), the last one nearest to the limit
    above: list[tuple[int, float]] = []
    at = (low_end + high_end) // 2
    while True:
        value = _log(cost(turn * at))
        (below if value <= bound else above).append((at, value))
        if value <= bound and (bound - value <= TOLERANCE or at == high_end):
            return turn * at
        if value > bound and at == low_end:
            return None
        if below and above and above[-1][0] - below[-1][0] == 1:
            return turn * below[-1][0]
        at = _next(below, above, aim)
        at = min(max(at, below[-1][0] + 1 if below else low_end), above[-1][0] - 1 if above else high_end)


def _next(below: list[tuple[int, float]], above: list[tuple[int, float]], aim: float) -> int:
    if below and above:
        (a, low), (b, high) = below[-1], above[-1]
        if len(below) + len(above) > 5 or high <= low:  # far from straight: halves come to an end for certain
            return (a + b) // 2
        return round(a + (b - a) * (aim - low) / (high - low))
    side = below or above
    (at, value), slope = side[-1], SLOPE
    if len(side) > 1:
        slope = min(max((value - side[-2][1]) / (at - side[-2][0]), SLOPE / 8), SLOPE * 8)
    step = round((aim - value) / slope)
    return at + (step if len(side) < 4 else 1000 * step)  # at the latest then to the end of the range


def _log(cost: float) -> float:
    return math.log(max(cost, 1e-12))  # a perfect picture has no error at all


class _Trials:
    """Encodes one picture at the qualities of a search, and keeps the costs and the last files."""

    def __init__(
        self,
        picture: Picture,
        model: Model,
        target: Target,
        how: Encoding | None,
        progress: Progress | None,
        stopped: Stopped | None,
    ) -> None:
        from .encoding import analyse_picture
        from .settings import Encoding

        self._analysed = analyse_picture(picture, model)
        self._model, self._target, self._how = model, target, how or Encoding()
        self._progress, self._stopped = progress, stopped or (lambda: False)
        self.is_size, self.has_effort = target.is_size, self._how.effort > 0
        self._files: dict[int, Encoded] = {}
        self.costs: dict[int, float] = {}
        self.seconds = sum(self._analysed.seconds.values())

    def cost(self, thousandths: int) -> float:
        """The cost of the file of a quality, in the unit of `Target.limit`."""
        if thousandths not in self.costs:
            self.costs[thousandths] = self.cost_of(self.encoded(thousandths))
        return self.costs[thousandths]

    def encoded(self, thousandths: int) -> Encoded:
        """The file of a quality, without effort."""
        if thousandths not in self._files:
            encoded = self._encode(replace(self._how, quality=thousandths / 1000, effort=0))
            self._files = dict([*self._files.items(), (thousandths, encoded)][-2:])
        return self._files[thousandths]

    def refined(self, thousandths: int) -> Encoded:
        """The file of a quality, with effort."""
        return self._encode(replace(self._how, quality=thousandths / 1000), self._progress)

    def _encode(self, how: Encoding, progress: Progress | None = None) -> Encoded:
        from .encoding import encode_analysed

        encoded = encode_analysed(self._analysed, self._model, how, progress=progress, stopped=self._stopped)
        self.seconds += sum(encoded.seconds.values()) - sum(self._analysed.seconds.values())
        return encoded

    @property
    def is_stopped(self) -> bool:
        """Whether to end the refinement with the best result so far."""
        return self._stopped()

    def what_is_left(self, encoded: Encoded) -> float:
        """The value that is not limited and should be low: the distortion of a file, or its bytes."""
        if not self.is_size:
            return len(encoded.data)
        from .effort.judging import distortion

        return distortion(encoded, self._analysed.picture, self._model)

    def cost_of(self, encoded: Encoded) -> float:
        """The cost of a file, in the unit of `Target.limit`."""
        if self._target.is_size:
            return len(encoded.data)
        from .decoding import reconstruct

        return self._target.error(self._analysed.picture, reconstruct(encoded, self._model))

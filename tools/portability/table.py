"""What the workers of the portability matrix said, judged and put into a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from settings import Setting

Hashes = dict[str, str | None]
"""Of one file: `symbols`, and `alpha` where it has any."""


@dataclass(frozen=True)
class Row:
    """One setting: where it ran, over how many files, which gave other symbols or alpha, and how far pixels were.

    `furthest` is in levels of 255 and `beyond` is the share of samples more than one level away, both over the
    committed corpus. `sentence` says why there is nothing else, where the setting was refused or skipped.
    """

    setting: str
    files: int = 0
    differing: tuple[str, ...] = ()
    furthest: int = 0
    beyond: float = 0.0
    about: dict[str, Any] | None = None
    sentence: str = ""
    wrong: bool = False


def judge(setting: Setting, said: dict[str, Any], expected: dict[str, Hashes]) -> Row:
    """What a worker said, held against what its files should give. A refusal is a sentence, not a wrong symbol."""
    if "skipped" in said:
        return Row(setting.name, sentence=f"skipped: {said['skipped']}")
    if "refused" in said:
        why = said["refused"].removeprefix("fedscodec.errors.")
        return Row(setting.name, sentence=f"refused: {why}", wrong=why == said["refused"])
    found = said["found"]
    expected = {name: hashes for name, hashes in expected.items() if setting.covers(name)}
    differing = tuple(name for name, hashes in expected.items() if not _agree(found.get(name, {}), hashes))
    pixels = [line for line in found.values() if "most" in line]
    furthest = max((line["most"] for line in pixels), default=0)
    beyond = sum(line["beyond"] for line in pixels) / max(sum(line["samples"] for line in pixels), 1)
    wrong = bool(differing) or (setting.exact_pixels and furthest > 1)
    return Row(setting.name, len(expected), differing, furthest, beyond, said["about"], wrong=wrong)


def _agree(found: dict[str, Any], expected: Hashes) -> bool:
    return all(found.get(what) == expected.get(what) for what in ("symbols", "alpha"))


def line(row: Row) -> str:
    """A row in Markdown."""
    if row.about is None:
        return f"| {row.setting} | {row.sentence} | | | | |"
    made = f"{row.about['torch']}, {row.about['backend']}, {row.about['capability']}"
    return f"| {row.setting} | {made} | {row.files} | {len(row.differing)} | {row.furthest} | {row.beyond:.3%} |"


HEAD = (
    "| setting | torch, exact backend, CPU | files | other symbols | furthest pixel | samples beyond 1 level |",
    "| --- | --- | --: | --: | --: | --: |",
)


def as_text(run: dict[str, Any], rows: Sequence[Row]) -> str:
    """The whole table, with what it was made of."""
    ran = [row for row in rows if row.about]
    releases = sorted({f"torch {row.about['torch']}" for row in ran if row.about})
    differing = sum(len(row.differing) for row in rows)
    furthest = max((row.furthest for row in ran if row.setting in run["exact"]), default=0)
    words = (
        f"commit {run['commit']}, {run['date']}, {run['cpu']}, {', '.join(releases)}",
        f"{len(run['files'])} committed files, and what {len(ran)} settings wrote",
        f"{sum(row.files for row in ran)} files decoded, {differing} with other symbols or alpha, "
        f"furthest pixel at equal precision {furthest}",
    )
    wrong = [f"{row.setting}: {name} differs" for row in rows for name in row.differing]
    return "\n".join([*words, "", *HEAD, *map(line, rows), *([""] if wrong else []), *wrong]) + "\n"


def as_json(run: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """The same for machines."""
    return {**run, "rows": [asdict(row) for row in rows]}

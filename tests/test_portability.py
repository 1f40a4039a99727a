"""The portability matrix: what it calls wrong. The matrix itself is run by hand, `docs/trust.md` has its table."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "portability"))
import matrix  # noqa: E402

ABOUT = {"torch": "2.14.1", "backend": "int_mm", "capability": "AVX512"}
EXPECTED = {"a": "1" * 64, "01/b.feds": "2" * 64}
EXACT, LOOSE = matrix.SETTINGS[0], next(s for s in matrix.SETTINGS if s.name == "bfloat16")


def said(most=1, beyond=0, **symbols):
    corpus = {"symbols": symbols.get("a", EXPECTED["a"]), "most": most, "beyond": beyond, "samples": 1000}
    return {"about": ABOUT, "found": {"a": corpus, "01/b.feds": {"symbols": symbols.get("b", EXPECTED["01/b.feds"])}}}


@pytest.mark.parametrize(
    ("setting", "answer", "row", "wrong"),
    [
        (EXACT, said(), "| 2 | 0 | 1 | 0.000% |", False),
        (EXACT, said(most=2, beyond=3), "| 2 | 0 | 2 | 0.300% |", True),
        (LOOSE, said(most=9, beyond=100), "| 2 | 0 | 9 | 10.000% |", False),
        (LOOSE, said(a="3" * 64), "| 2 | 1 | 1 | 0.000% |", True),
        (EXACT, said(b="3" * 64), "| 2 | 1 | 1 | 0.000% |", True),
        (EXACT, {"refused": "MemoryError"}, "| refused: MemoryError | | | | |", True),
        (
            EXACT,
            {"refused": "fedscodec.errors.FedsError: not exact"},
            "| refused: FedsError: not exact | | | | |",
            False,
        ),
        (EXACT, {"skipped": "no CUDA device"}, "| skipped: no CUDA device | | | | |", False),
    ],
)
def test_one_symbol_or_a_far_pixel_is_wrong(setting, answer, row, wrong):
    line, found = matrix.judge(setting, answer, EXPECTED)
    assert line.startswith(f"| {setting.name} |")
    assert line.endswith(row)
    assert found is wrong


def test_a_file_that_was_not_decoded_is_wrong():
    answer = said()
    del answer["found"]["01/b.feds"]
    assert matrix.judge(EXACT, answer, EXPECTED)[1]


def test_settings_are_told_apart():
    names = [setting.name for setting in matrix.SETTINGS]
    assert len(set(names)) == len(names) >= 24
    assert set(names) >= matrix.ELSEWHERE


def test_a_worker_that_is_refused_says_why(tmp_path):
    broken = matrix.Setting("broken", {"PATH": os.environ["PATH"]}, python="false")
    broken_words = matrix.Setting("wordy", python=str(tmp_path / "say"))
    (tmp_path / "say").write_text("#!/bin/sh\necho Traceback >&2\necho 'FedsError: no' >&2\nexit 1\n")
    (tmp_path / "say").chmod(0o755)
    assert matrix.work(broken, "encode", tmp_path) == {"refused": "it said nothing"}
    assert matrix.work(broken_words, "encode", tmp_path) == {"refused": "FedsError: no"}

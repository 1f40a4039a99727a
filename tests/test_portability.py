"""The portability matrix: what it calls wrong, and that it goes on where it was stopped.

The matrix itself is run by hand, `docs/trust.md` has its table.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools" / "portability"))
import matrix  # noqa: E402
import settings  # noqa: E402
import table  # noqa: E402

ABOUT = {"torch": "2.14.1", "backend": "int_mm", "capability": "AVX512"}
EXPECTED = {"a": {"symbols": "1" * 64, "alpha": "4" * 64}, "01/b.feds": {"symbols": "2" * 64, "alpha": None}}
EXACT, LOOSE = settings.SETTINGS[0], next(s for s in settings.SETTINGS if s.name == "bfloat16")


def said(most=1, beyond=0, alpha="4", **symbols):
    first = {
        "symbols": symbols.get("a", "1" * 64),
        "alpha": alpha * 64,
        "most": most,
        "beyond": beyond,
        "samples": 1000,
    }
    return {"about": ABOUT, "found": {"a": first, "01/b.feds": {"symbols": symbols.get("b", "2" * 64), "alpha": None}}}


@pytest.mark.parametrize(
    ("setting", "answer", "row", "wrong"),
    [
        (EXACT, said(), "| 2 | 0 | 1 | 0.000% |", False),
        (EXACT, said(most=2, beyond=3), "| 2 | 0 | 2 | 0.300% |", True),
        (LOOSE, said(most=9, beyond=100), "| 2 | 0 | 9 | 10.000% |", False),
        (LOOSE, said(a="3" * 64), "| 2 | 1 | 1 | 0.000% |", True),
        (EXACT, said(b="3" * 64), "| 2 | 1 | 1 | 0.000% |", True),
        (LOOSE, said(alpha="5"), "| 2 | 1 | 1 | 0.000% |", True),
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
    found = table.judge(setting, answer, EXPECTED)
    assert table.line(found).startswith(f"| {setting.name} |")
    assert table.line(found).endswith(row)
    assert found.wrong is wrong


def test_a_file_that_was_not_decoded_is_wrong():
    answer = said()
    del answer["found"]["01/b.feds"]
    assert table.judge(EXACT, answer, EXPECTED).differing == ("01/b.feds",)


def test_a_setting_is_checked_only_with_files_of_its_networks():
    onnx = next(s for s in settings.SETTINGS if s.name == "ONNX Runtime, 2 threads")
    names = ["mini-light-student-text-q2.5", "tiny-text-q5.25", "01/mini-light-teacher-face-q1.feds", "01/tiny-q1.feds"]
    expected = {name: {"symbols": "1" * 64, "alpha": None} for name in names}
    found = {name: {"symbols": "1" * 64} for name in (names[0], names[2])}
    row = table.judge(onnx, {"about": ABOUT, "found": found}, expected)
    assert (row.files, row.differing, row.wrong) == (2, (), False)
    del found[names[2]]
    assert table.judge(onnx, {"about": ABOUT, "found": found}, expected).differing == (names[2],)


def test_settings_are_distinguished():
    names = [setting.name for setting in settings.SETTINGS]
    assert len(set(names)) == len(names) >= 24
    assert set(names) >= settings.ELSEWHERE
    more = settings.chosen("", ["other", "third"])
    assert len({setting.name for setting in more}) == len(more) == len(names) + 2 * len(settings.ELSEWHERE)
    assert [s.name for s in settings.chosen("7 threads", ["other"])] == ["7 threads", "7 threads, interpreter 2"]


def test_a_worker_that_is_refused_says_why(tmp_path):
    broken = settings.Setting("broken", {"PATH": os.environ["PATH"]}, python="false")
    broken_words = settings.Setting("wordy", python=str(tmp_path / "say"))
    (tmp_path / "say").write_text("#!/bin/sh\necho Traceback >&2\necho 'FedsError: no' >&2\nexit 1\n")
    (tmp_path / "say").chmod(0o755)
    assert matrix.work(broken, "encode", tmp_path) == {"refused": "it said nothing"}
    assert matrix.work(broken_words, "encode", tmp_path) == {"refused": "FedsError: no"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of three settings of which one is refused, over the two smallest files with alpha; and what was done."""
    three = [settings.Setting(name) for name in ("one", "two", "three")]
    made = matrix.Matrix(tmp_path / "out", three, "tiny-alpha-[cf]*")
    done = []

    def work(setting, task, folder, pattern):
        done.append(f"{setting.name} {task}")
        if setting.name == "two":
            return {"refused": "fedscodec.errors.FedsError: not here"}
        if task == "encode":
            return {"about": ABOUT, "found": {"a.feds": setting.name}}
        if setting.name == "three" and done.count("three decode") == 1:
            raise KeyboardInterrupt
        pixels = {"most": 1, "beyond": 0, "samples": 9}
        found = {name: {**hashes, **pixels} for name, hashes in made.committed().items()}
        return {"about": ABOUT, "found": found | {f"{n:02}/a.feds": {"symbols": three[n].name} for n in (0, 2)}}

    monkeypatch.setattr(matrix, "work", work)
    monkeypatch.setattr(matrix, "commit", lambda: "0123456789ab")
    monkeypatch.setattr(matrix, "cpu", lambda: "a processor")
    return made, done


def test_a_run_continues_where_it_was_stopped(run, capsys, monkeypatch):
    made, done = run
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert done == ["one encode", "two encode", "three encode", "one decode", "three decode"]
    assert made.run() == 0
    assert done[5:] == ["three decode"]
    text = capsys.readouterr().out
    assert (made.folder / "matrix.md").read_text() == text
    assert text.startswith("commit 0123456789ab, ")
    assert ", a processor, torch 2.14.1\n2 committed files, and what 2 settings wrote\n8 files decoded, 0 with " in text
    assert "with other symbols or alpha, furthest pixel at equal precision 1\n" in text
    assert "| one | 2.14.1, int_mm, AVX512 | 4 | 0 | 1 | 0.000% |\n| two | refused: FedsError: not here |" in text
    found = json.loads((made.folder / "matrix.json").read_text())
    assert (found["commit"], found["files"]) == ("0123456789ab", ["tiny-alpha-few-q3", "tiny-alpha-clear-q1"])
    assert [row["differing"] for row in found["rows"]] == [[], [], []]
    monkeypatch.setattr(matrix, "commit", lambda: "another")
    with pytest.raises(SystemExit, match="holds a run with other commit; name another folder"):
        made.run()


def test_other_symbols_end_in_an_exit_code_of_one_and_are_named(run, capsys, monkeypatch):
    made, _ = run
    monkeypatch.setattr(matrix, "work", lambda *_: {"about": ABOUT, "found": {"tiny-alpha-few-q3": {"symbols": "x"}}})
    assert made.run() == 1
    assert "one: tiny-alpha-few-q3 differs\n" in capsys.readouterr().out

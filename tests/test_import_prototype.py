"""What is no checkpoint of the prototype is named in one sentence."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from fedscodec.errors import WeightsError

TOOLS = Path(__file__).parent.parent / "tools"
SPEC = importlib.util.spec_from_file_location("import_prototype", TOOLS / "import_prototype.py")
TOOL = importlib.util.module_from_spec(SPEC)


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        SPEC.loader.exec_module(TOOL)


@pytest.mark.parametrize(
    ("saved", "found"),
    [
        ({"ema": {}}, "no 'net'"),
        ([1, 2], "list indices must be integers or slices, not str"),
        ({"net": {"g_a.first.weight": 1}}, "'int' object has no attribute 'float'"),
        ({"net": {"gains.unknown": torch.ones(1)}}, "no 'h_a.0.weight'"),
    ],
)
def test_a_file_of_something_else_is_named(saved, found, tmp_path):
    torch.save(saved, tmp_path / "x.pt")
    with pytest.raises(WeightsError) as failure:
        TOOL.read(tmp_path / "x.pt", "net")
    assert str(failure.value).startswith(f"{tmp_path / 'x.pt'}: expected a checkpoint of the prototype, found: {found}")
    assert "\n" not in str(failure.value)


def test_a_picture_is_no_checkpoint_and_nothing_is_written(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "0.png")
    command = [sys.executable, str(TOOLS / "import_prototype.py"), str(tmp_path / "0.png"), str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"feds: {tmp_path / '0.png'}: expected a checkpoint of the prototype, found: ")
    assert ended.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]

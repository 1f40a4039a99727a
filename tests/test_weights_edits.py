"""The maker of broken weights files: its levels meet the checks they are meant for, any script is refused or codes.

`tools/fuzz/fuzz.py tensors` runs it guided by coverage; here are some of its scripts, and some at random.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, load_file

FUZZ = Path(__file__).parents[1] / "tools" / "fuzz"
sys.path.insert(0, str(FUZZ))
import safetensors_edits  # noqa: E402
import weights_files  # noqa: E402

from fedscodec.errors import FedsError  # noqa: E402
from fedscodec.networks import metadata, weights  # noqa: E402

Networks = list[tuple[dict[str, np.ndarray], dict[str, str]]]
ARRAYS, HEADER, FILE = 0, 10, 12  # second bytes of a script: the level, the fingerprint as it was
FITTING = 1
"""Added to them: the fingerprint is made to fit."""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    paths = weights_files.write_smallest(tmp_path_factory.mktemp("smallest"))
    return [(load_file(path), metadata.read_metadata(path)) for path in paths]


def step(what: int, which: int = 0, value: int = 0, place: int = 0) -> bytes:
    return bytes([what, which]) + value.to_bytes(4, "little", signed=True) + place.to_bytes(2, "little")


def said(script: bytes, networks: Networks, path: Path) -> str:
    """What a reader says of the file of a script."""
    path.write_bytes(safetensors_edits.edited(script, networks))
    try:
        found = weights.read_weights(path)
        weights.float_transforms(found)
        weights.integer_side(found)
    except FedsError as error:
        return str(error)
    return "sound"


@pytest.mark.parametrize("network", range(len(weights_files.SMALLEST)))
def test_without_a_step_the_file_is_that_of_the_network(network: int, networks: Networks, tmp_path: Path) -> None:
    arrays, _ = networks[network]
    found = load(safetensors_edits.edited(bytes([network]), networks))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], value) for name, value in arrays.items())
    assert said(bytes([network, FITTING]), networks, tmp_path / "a.safetensors") == "sound"


@pytest.mark.parametrize(
    ("level", "change", "sentence"),
    [
        (ARRAYS, step(3, 0), "missing tensors: ['g_a."),
        (ARRAYS, step(2, 0), "expected finite numbers in "),
        (ARRAYS, step(6, 0), "to have the shape"),
        (ARRAYS, step(224, 0, 9, 0), "expected a weights file of format feds-weights-1, found 9"),
        (ARRAYS, step(224, 0, 9, 1), "have the fingerprint"),
        (ARRAYS, step(224, 0, 9, 2), "its description of the network is not valid (a spec is a set of named values"),
        (ARRAYS, step(128, 0, 9, 2), "its description of the network is not valid"),
        (HEADER, step(0, 0, 0, 14), "not a readable weights file"),  # a type of no name
        (HEADER, step(2, 0, 0, 2), "not a readable weights file"),  # another shape than there are bytes
        (HEADER, step(3, 0, 4, 1), "not a readable weights file"),  # offsets that overlap
        (HEADER, step(8, 0, 0, 5), "expected a weights file of format feds-weights-1, found None"),
        (HEADER, step(9, 0, 9, 1), "not a readable weights file"),  # cut
        (FILE, step(0, 0, 0, 4), "not a readable weights file"),  # a header of 2**63 bytes
        (FILE, step(1, 0, 0, 0), "not a readable weights file"),  # that does not begin with a brace
        (FILE, step(2, 0, 0, 1), "not a readable weights file"),
        (FILE, step(3, 7, 0, 1), "not a readable weights file"),  # a byte behind the end
    ],
)
def test_each_level_meets_its_checks(
    level: int, change: bytes, sentence: str, networks: Networks, tmp_path: Path
) -> None:
    assert sentence in said(bytes([0, level]) + change, networks, tmp_path / "a.safetensors")


def test_a_fingerprint_that_fits_lets_other_integers_in(networks: Networks, tmp_path: Path) -> None:
    names = sorted(networks[0][0])
    at = names.index("side.h_s.0.bias")
    change = step(0, at, 5, 0)
    assert "fingerprint" in said(bytes([0, ARRAYS]) + change, networks, tmp_path / "a.safetensors")
    assert said(bytes([0, ARRAYS + FITTING]) + change, networks, tmp_path / "a.safetensors") == "sound"


@pytest.fixture(scope="module")
def target() -> weights_files.Tensors:
    return weights_files.Tensors()


@settings(max_examples=20, deadline=None)
@given(script=st.binary(min_size=2, max_size=2 + 8 * 4))
def test_any_script_is_refused_or_codes(script: bytes, target: weights_files.Tensors) -> None:
    with suppress(FedsError):
        target(script)


def test_safetensors_takes_what_is_written_here(networks: Networks) -> None:
    data = safetensors_edits.edited(b"\0\0", networks)
    with pytest.raises(SafetensorError):
        load(data[:-1])
    assert int.from_bytes(data[:8], "little") % 8 == 0

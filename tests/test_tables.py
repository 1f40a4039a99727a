"""Frequency tables: exact integers, sound shapes, and a cost that is the Gaussian's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedscodec.entropy.tables import (
    TOTAL,
    Tables,
    bit_lengths,
    gaussian_tables,
    scale_table,
    tables_from_probabilities,
)
from fedscodec.errors import WeightsError

HALF, QUARTER = TOTAL // 2, TOTAL // 4


def small(**changes: Any) -> Tables:  # noqa: ANN401
    """Return tables of the values 0 .. 1 (1 and 2 bits, ESCAPE 2) and -3 alone (2 bits, ESCAPE 0.415)."""
    fields: dict[str, Any] = {
        "low": np.array([0, -3], dtype=np.int32),
        "high": np.array([1, -3], dtype=np.int32),
        "frequencies": np.array([[HALF, QUARTER, QUARTER], [QUARTER, 3 * QUARTER, 0]], dtype=np.int32),
    }
    return Tables(**(fields | changes))


def frequencies(*rows: list[int]) -> dict[str, NDArray[Any]]:
    return {"frequencies": np.array(rows, dtype=np.int32)}


def mass(n: int, scale: float) -> float:
    """Return P(n) of the Gaussian, from the nearer tail."""
    n, root = abs(n), scale * math.sqrt(2)
    if n == 0:
        return math.erf(0.5 / root)
    return (math.erfc((n - 0.5) / root) - math.erfc((n + 0.5) / root)) / 2


def test_bit_lengths_are_those_of_python() -> None:
    values = np.array([0, 1, 2, 3, 4, 7, 8, 255, 256, 65535, 65536, 2**31 - 1])
    assert bit_lengths(values).tolist() == [int(value).bit_length() for value in values]


def test_scales_grow_by_equal_ratios_between_both_ends() -> None:
    np.testing.assert_allclose(scale_table(4, 0.5, 32.0), [0.5, 2.0, 8.0, 32.0], rtol=1e-14)
    scales = scale_table(64, 0.11, 128.0)
    assert (scales[0], scales[-1], len(scales)) == (0.11, 128.0, 64)


def test_unit_gaussian_in_integers() -> None:
    tables = gaussian_tables(1, 1.0, 1.0)
    assert (tables.low.tolist(), tables.high.tolist()) == ([-4], [4])
    side = [4055528, 1016649, 100277, 3846]
    assert tables.frequencies.tolist() == [[*reversed(side), 6424360, *side, 256]]


def test_expected_length_is_the_entropy_for_every_scale() -> None:
    tables = gaussian_tables()
    for k, scale in enumerate(scale_table(64, 0.11, 128.0)):
        reach = math.ceil(9 * scale) + 1
        masses = {n: mass(n, scale) for n in range(-reach, reach + 1)}
        entropy = -sum(p * math.log2(p) for p in masses.values() if p)
        length = sum(p * tables.bits([n], [k]) for n, p in masses.items())
        assert entropy * (1 - 1e-9) - 1e-9 <= length <= entropy * 1.0005 + 1e-4


def test_gaussian_tables_are_symmetric_and_leave_little_outside() -> None:
    tables = gaussian_tables()
    tables.validate()
    assert len(tables) == 64
    np.testing.assert_array_equal(tables.low, -tables.high)
    for high, row in zip(tables.high, tables.frequencies, strict=True):
        values = row[: 2 * high + 1]
        assert np.abs(values - values[::-1]).max() <= 1
        assert 256 <= row[2 * high + 1] <= 257


def test_widest_gaussian_table_is_capped_and_its_escape_gets_the_tail() -> None:
    tables = gaussian_tables(1, 1000.0, 1000.0)
    assert (tables.low.tolist(), tables.high.tolist()) == ([-1023], [1023])
    tail = math.erfc(1023.5 / 1000 / math.sqrt(2))
    assert tables.frequencies[0, 2047] == pytest.approx(tail * TOTAL, abs=1)


def test_probabilities_become_frequencies_of_at_least_one() -> None:
    tables = tables_from_probabilities([[0.5, 0.25, 0.0], [0.0, 1e-12, 0.5]], low=[5, -7])
    assert (tables.low.tolist(), tables.high.tolist()) == ([5, -7], [6, -5])
    assert tables.frequencies.tolist() == [[HALF, QUARTER, QUARTER, 0], [1, 1, HALF - 1, HALF - 1]]


def test_escape_gets_its_share_of_a_full_row() -> None:
    assert tables_from_probabilities([[1.0]], low=0).frequencies.tolist() == [[TOTAL - 256, 256]]


def test_many_values_raised_to_one_are_taken_from_the_largest() -> None:
    tables = tables_from_probabilities([[0.9, *[1e-15] * 4000]], low=0)
    row = tables.frequencies[0]
    assert row[1:4001].tolist() == [1] * 4000
    assert row.sum() == TOTAL
    assert row[0] == pytest.approx(0.9 * TOTAL - 4000, abs=2)


@pytest.mark.parametrize("probabilities", [[[-0.1, 0.5]], [[0.6, 0.6]], [[0.0]], [0.5], [[math.nan]]])
def test_impossible_probabilities_are_refused(probabilities: list[Any]) -> None:
    with pytest.raises(ValueError, match="probabilities should be"):
        tables_from_probabilities(probabilities, 0)


def test_a_table_too_wide_is_refused() -> None:
    with pytest.raises(WeightsError, match="2 .. 4097 entries, found 1 of 4098"):
        tables_from_probabilities(np.full((1, 4097), 1 / 4097), 0)


@pytest.mark.parametrize(
    ("symbol", "index", "bits"),
    [
        (0, 0, 1.0),
        (1, 0, 2.0),
        (2, 0, 2.0 + 2),  # ESCAPE, distance 1: one digit, doubled
        (6, 0, 2.0 + 6),  # distance 5, three digits
        (-5, 0, 2.0 + 6),
        (-32768, 0, 2.0 + 32),  # distance 32768, sixteen digits
        (-3, 1, 2.0),
        (32767, 1, math.log2(4 / 3) + 32),
    ],
)
def test_bits_by_hand(symbol: int, index: int, bits: float) -> None:
    assert small().bits([symbol], [index]) == pytest.approx(bits, rel=1e-12)


def test_bits_add_up_and_skipped_tables_are_free() -> None:
    assert small().bits([0, 1, -3], [0, 0, 1]) == pytest.approx(5.0)
    assert small(skip=1).bits([0, 0, -3], [0, 0, 1]) == pytest.approx(2.0)
    assert small().bits(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)) == 0.0


@pytest.mark.parametrize(
    ("symbols", "indexes", "message"),
    [
        ([0], [2], "in 0 .. 1, found 2 .. 2"),
        ([0], [-1], "in 0 .. 1, found -1 .. -1"),
        ([0], [0.0], "expected table indexes as integers"),
        ([0.5], [0], "expected symbols as integers"),
        ([0, 0], [0], "expected symbols as integers"),
        ([32768], [0], "that fit int16"),
        ([-32769], [0], "that fit int16"),
    ],
)
def test_bits_refuses_what_cannot_be_coded(symbols: list[Any], indexes: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().bits(symbols, indexes)


def test_a_skipped_symbol_other_than_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="skipped tables to be 0"):
        small(skip=1).bits([1], [0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": np.array([0, -3], dtype=np.int64)}, "expected low as int32"),
        ({"high": np.array([1.0, -3.0])}, "expected high as int32"),
        ({"low": np.array([0], dtype=np.int32)}, r"low with the shape \[2\]"),
        ({"high": np.array([[1, -3]], dtype=np.int32)}, r"high with the shape \[2\]"),
        ({"frequencies": np.zeros(3, dtype=np.int32)}, "two dimensions"),
        ({"frequencies": np.zeros((0, 3), dtype=np.int32)}, "1 .. 4096 tables"),
        ({"frequencies": np.zeros((4097, 3), dtype=np.int32)}, "1 .. 4096 tables"),
        ({"frequencies": np.zeros((2, 4098), dtype=np.int32)}, "2 .. 4097 entries"),
        ({"low": np.array([2, -3], dtype=np.int32)}, "low <= high"),
        ({"low": np.array([-32768, -3], dtype=np.int32)}, "within plus or minus 32767"),
        ({"high": np.array([32768, -3], dtype=np.int32)}, "within plus or minus 32767"),
        ({"high": np.array([2, -3], dtype=np.int32)}, "found 3"),
        (frequencies([TOTAL, 0, 0], [QUARTER, 3 * QUARTER, 0]), "at least 1"),
        (frequencies([HALF, TOTAL, -HALF], [QUARTER, 3 * QUARTER, 0]), "at least 1"),
        (frequencies([HALF, QUARTER, QUARTER], [QUARTER, HALF, QUARTER]), "after ESCAPE"),
        (frequencies([HALF, QUARTER, QUARTER + 1], [QUARTER, 3 * QUARTER, 0]), f"found {TOTAL + 1}"),
        ({"skip": 3}, "0 .. 2, found 3"),
        ({"skip": -1}, "0 .. 2, found -1"),
    ],
)
def test_validate_names_what_is_off(changes: dict[str, Any], message: str) -> None:
    small().validate()
    with pytest.raises(WeightsError, match=message):
        small(**changes).validate()


def test_arrays_there_and_back() -> None:
    tables = gaussian_tables(4, 0.5, 4.0, skip=1)
    arrays = tables.to_arrays()
    assert sorted(arrays) == ["frequencies", "high", "low", "skip"]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.int32)}
    again = Tables.from_arrays(arrays)
    assert again.skip == 1
    for name in ("low", "high", "frequencies"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tables, name))


def test_arrays_that_are_not_tables_are_refused() -> None:
    arrays = small().to_arrays()
    with pytest.raises(WeightsError, match="expected frequency tables of"):
        Tables.from_arrays({name: array for name, array in arrays.items() if name != "skip"})
    with pytest.raises(WeightsError, match=r"expected skip as int32 \[1\]"):
        Tables.from_arrays(arrays | {"skip": np.array([0, 0], dtype=np.int32)})
    with pytest.raises(WeightsError, match="with the sum"):
        Tables.from_arrays(arrays | {"frequencies": 2 * arrays["frequencies"]})


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().frequencies[0, 0] = 1

"""The stream coder: literal bytes, a second coder in plain Python, and hostile streams."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedscodec.entropy import rangecoder
from fedscodec.entropy.rangecoder import decode, encode, least_bytes
from fedscodec.entropy.tables import TOTAL, Tables, gaussian_tables, scale_table, tables_from_probabilities
from fedscodec.errors import FormatError, WeightsError

Array: TypeAlias = NDArray[np.integer[Any]]

GAUSSIAN = gaussian_tables()
SCALES = scale_table(64, 0.11, 128.0)
QUARTERS = Tables(  # 0 and 1, ESCAPE; a quarter, a half, a quarter
    np.array([0], dtype=np.int32),
    np.array([1], dtype=np.int32),
    np.array([[TOTAL // 4, TOTAL // 2, TOTAL // 4]], dtype=np.int32),
)


def drawn(count: int, seed: int) -> tuple[Array, Array]:
    """Return symbols that follow the Gaussian tables, and their table indexes, evenly drawn."""
    rng = np.random.default_rng(seed)
    indexes = rng.integers(0, 64, count)
    return np.rint(rng.normal(size=count) * SCALES[indexes]).astype(np.int32), indexes


def steps(symbols: Array, indexes: Array, tables: Tables) -> list[tuple[int, int]]:
    """Return (sum of frequencies before, frequency) of all that is coded, in decoding order."""
    found, distances = [], []
    for k in range(tables.skip, len(tables)):
        low, high = int(tables.low[k]), int(tables.high[k])
        *row, escape = tables.frequencies[k, : high - low + 2].tolist()
        for value in symbols[indexes == k].tolist():
            inside = low <= value <= high
            found.append((escape + sum(row[: value - low]), row[value - low]) if inside else (0, escape))
            if not inside:
                distances.append((max(low - value, value - high), value < low))
    longest = max((d.bit_length() for d, _ in distances), default=0)
    bits = [d.bit_length() == n for n in range(1, longest + 1) for d, _ in distances if d.bit_length() >= n]
    bits += [d >> k & 1 for k in reversed(range(longest)) for d, _ in distances if d.bit_length() > k + 1]
    bits += [below for _, below in distances]
    return found + [(bit * TOTAL // 2, TOTAL // 2) for bit in bits]


def reference_encode(symbols: Array, indexes: Array, tables: Tables) -> bytes:
    """Return the stream by the documented arithmetic, in Python's integers."""
    stack, head = b"", 0
    for before, frequency in reversed(steps(symbols, indexes, tables)):
        if head >> 40 >= frequency:
            stack, head = stack + (head % 2**32).to_bytes(4, "little"), head >> 32
        head = (head // frequency << 24) + head % frequency + before
    return (stack + head.to_bytes(8, "little")).rstrip(b"\0")


def assert_round_trip(symbols: Array, indexes: Array, tables: Tables) -> bytes:
    data = encode(symbols, indexes, tables)
    decoded = decode(data, indexes, tables)
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, symbols)
    return data


def test_literal_bytes() -> None:
    symbols, indexes = np.array([0, 1, -2, 3, 200, -4]), np.array([0, 10, 20, 30, 40, 50])
    assert assert_round_trip(symbols, indexes, GAUSSIAN) == bytes.fromhex("586dcc1fcd1958655f")


def test_bytes_by_hand() -> None:
    # From 0: symbol 1 (frequency a half, and ESCAPE and 0 before it make a half) gives 2**23; then
    # symbol 0 (a quarter after a quarter) 2**23 // 2**22 * 2**24 + 2**22.
    assert encode([1], [0], QUARTERS) == (2**23).to_bytes(3, "little")
    assert encode([0, 1], [0, 0], QUARTERS) == (2 * 2**24 + 2**22).to_bytes(4, "little")
    # ESCAPE to 2: the distance is 1, so it ends at length 1 (bit 1), and it is not below (bit 0).
    # 0 -> bit 0 -> 0 -> bit 1 -> 2**23 -> ESCAPE -> 2**23 // 2**22 * 2**24.
    assert encode([2], [0], QUARTERS) == (2 * 2**24).to_bytes(4, "little")


@pytest.mark.parametrize("extremes", [False, True])
def test_same_bytes_as_the_reference(extremes: bool) -> None:
    symbols, indexes = drawn(600, seed=1)
    if extremes:
        symbols[::7] = np.resize([-32768, 32767, 600, -1100, 5], symbols[::7].shape)
    assert assert_round_trip(symbols, indexes, GAUSSIAN) == reference_encode(symbols, indexes, GAUSSIAN)


def test_order_within_a_table_and_types_of_arrays_do_not_matter() -> None:
    symbols, indexes = drawn(500, seed=2)
    data = encode(symbols, indexes, GAUSSIAN)
    assert encode(symbols.astype(np.int16), indexes.astype(np.uint8), GAUSSIAN) == data
    np.testing.assert_array_equal(decode(data, indexes.astype(np.uint8), GAUSSIAN), symbols)
    order = np.argsort(indexes, kind="stable")
    assert encode(symbols[order], indexes[order], GAUSSIAN) == data


@pytest.mark.parametrize("value", [-32768, -32767, -1024, 555, 32766, 32767])
def test_every_table_reaches_all_of_int16(value: int) -> None:
    assert_round_trip(np.full(64, value), np.arange(64), GAUSSIAN)


def test_every_distance_from_a_narrow_table() -> None:
    symbols = np.arange(-32768, 32768, 37)
    assert_round_trip(symbols, np.zeros(len(symbols), dtype=int), QUARTERS)


def test_tables_at_both_ends_of_the_range() -> None:
    tables = Tables(
        np.array([-32767, 32767], dtype=np.int32),
        np.array([-32767, 32767], dtype=np.int32),
        np.full((2, 2), TOTAL // 2, dtype=np.int32),
    )
    symbols = np.array([-32768, -32767, 32767, -32768, 32766, 32767])
    assert_round_trip(symbols, np.array([0, 0, 0, 1, 1, 1]), tables)


def test_more_tables_than_a_byte_counts() -> None:
    tables = tables_from_probabilities((np.eye(300) + 1) / 302, low=-150)
    indexes = np.arange(300).repeat(3)
    assert_round_trip(np.random.default_rng(3).integers(-150, 150, 900), indexes, tables)


def test_nothing_is_no_bytes() -> None:
    empty = np.zeros(0, dtype=np.int32)
    assert assert_round_trip(empty, empty, GAUSSIAN) == b""


@pytest.mark.parametrize("value", [-1, 0, 1, 2, 9])
def test_one_symbol(value: int) -> None:
    assert_round_trip(np.array([value]), np.array([0]), QUARTERS)


def test_skipped_tables_cost_nothing() -> None:
    tables = gaussian_tables(skip=8)
    assert assert_round_trip(np.zeros(100, dtype=int), np.arange(100) % 8, tables) == b""
    symbols, indexes = drawn(1000, seed=4)
    symbols[indexes < 8] = 0
    kept = indexes >= 8
    assert assert_round_trip(symbols, indexes, tables) == encode(symbols[kept], indexes[kept], tables)


def test_a_skipped_symbol_other_than_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="skipped tables to be 0"):
        encode([0, 1], [9, 7], gaussian_tables(skip=8))


def test_length_is_what_the_tables_say() -> None:
    symbols, indexes = drawn(50_000, seed=5)
    symbols = symbols + np.where(np.arange(50_000) % 500, 0, 2000 * np.sign(symbols))  # some escapes
    expected = GAUSSIAN.bits(symbols, indexes) / 8
    length = len(assert_round_trip(symbols, indexes, GAUSSIAN))
    assert expected - 1 < length < expected * 1.002 + 8


def test_every_truncation_is_an_error() -> None:
    symbols, indexes = drawn(200, seed=6)
    data = encode(symbols, indexes, GAUSSIAN)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            decode(data[:length], indexes, GAUSSIAN)


def test_every_flipped_bit_is_an_error_or_shows() -> None:
    symbols, indexes = drawn(200, seed=7)
    data = encode(symbols, indexes, GAUSSIAN)
    errors = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode(bytes(damaged), indexes, GAUSSIAN).tolist() != symbols.tolist()
        except FormatError:
            errors += 1
    assert errors > 0.98 * 8 * len(data)


def test_the_wrong_number_of_symbols_is_an_error() -> None:
    symbols, indexes = drawn(200, seed=8)
    data = encode(symbols, indexes, GAUSSIAN)
    for wrong in (indexes[:-1], indexes[:100], np.append(indexes, 40), np.resize(indexes, 300)):
        with pytest.raises(FormatError):
            decode(data, wrong, GAUSSIAN)


def test_a_zero_byte_at_the_end_is_an_error() -> None:
    data = encode([1], [0], QUARTERS)
    for zeros in range(1, 6):
        with pytest.raises(FormatError, match="expected a last byte other than zero"):
            decode(data + bytes(zeros), [0], QUARTERS)


@pytest.mark.parametrize("count", range(40))
def test_stripped_zero_bytes_come_back(count: int) -> None:
    symbols, indexes = drawn(count, seed=count)  # streams of all lengths, whole words and parts of them
    data = assert_round_trip(symbols, indexes, GAUSSIAN)
    assert not data.endswith(b"\0")


def test_data_that_no_symbol_could_need_is_an_error() -> None:
    with pytest.raises(FormatError, match="expected fewer bytes for 0 symbols, found 1"):
        decode(b"\1", np.zeros(0, dtype=int), GAUSSIAN)
    with pytest.raises(FormatError, match="expected fewer bytes for 1 symbols, found 11"):
        decode(b"\1" * 11, [0], QUARTERS)
    with pytest.raises(FormatError, match="found more bytes"):
        decode(b"\1" * 10, [0], QUARTERS)


def test_an_endless_escape_is_an_error() -> None:
    with pytest.raises(FormatError, match="within 65535"):
        decode(coded([0] * 16 + [1]), [0], QUARTERS)


def test_a_stream_that_has_run_empty_is_not_read_to_its_end() -> None:
    with pytest.raises(FormatError, match="^expected 1 symbols, found the end after 0$"):
        decode(b"", [0], QUARTERS)
    data = encode([5] * 3, [60] * 3, GAUSSIAN)
    with pytest.raises(FormatError, match=r"^expected 40000 symbols, found the end after \d+$"):
        decode(data, np.arange(40_000) % 64, GAUSSIAN)


@pytest.mark.parametrize("count", [1, 100, 70_000, 2_000_000])
def test_no_stream_is_shorter_than_the_least(count: int) -> None:
    # the cheapest symbol of the cheapest table, and the first one behind ESCAPE, which adds least to an empty head
    cheapest = encode(np.zeros(count, np.int8), np.zeros(count, np.int8), GAUSSIAN)
    first = encode(np.full(min(count, 70_000), GAUSSIAN.low[0]), np.zeros(min(count, 70_000), np.int8), GAUSSIAN)
    assert 1 <= least_bytes(count, GAUSSIAN) <= len(cheapest)
    assert least_bytes(min(count, 70_000), GAUSSIAN) <= len(first)


def test_the_least_is_a_third_of_what_the_cheapest_symbols_take() -> None:
    count = 4_000_000
    data = encode(np.zeros(count, np.int8), np.zeros(count, np.int8), GAUSSIAN)
    assert (least_bytes(count, GAUSSIAN), len(data)) == (5, 14)
    assert least_bytes(0, GAUSSIAN) == 0
    assert least_bytes(count, gaussian_tables(skip=1)) == 0  # for all of them might be skipped


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 63)), min_size=1, max_size=50))
def test_any_stream_is_as_long_as_the_least(pairs: list[tuple[int, int]]) -> None:
    symbols, indexes = np.array(pairs, dtype=np.int64).T
    assert len(encode(symbols, indexes, GAUSSIAN)) >= least_bytes(len(pairs), GAUSSIAN)


def coded(bits: list[int]) -> bytes:
    """Return the stream of one ESCAPE of QUARTERS and these bits after it."""
    head = 0
    for bit in reversed(bits):
        head = (head // 2**23 << 24) + head % 2**23 + bit * 2**23
    return ((head // 2**22 << 24) + head % 2**22).to_bytes(16, "little").rstrip(b"\0")


def test_an_escape_beyond_int16_is_an_error() -> None:
    digits = [int(digit) for digit in f"{32767:015b}"]
    assert decode(coded([0] * 14 + [1] + digits[1:] + [1]), [0], QUARTERS).tolist() == [-32767]
    with pytest.raises(FormatError, match="that fit int16, found 32768"):
        decode(coded([0] * 14 + [1] + digits[1:] + [0]), [0], QUARTERS)
    with pytest.raises(FormatError, match="that fit int16, found -65535"):
        decode(coded([0] * 15 + [1] + [1] * 15 + [1]), [0], QUARTERS)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60), indexes=st.lists(st.integers(0, 63), max_size=30))
def test_any_bytes_are_an_error_or_the_stream_of_what_they_give(data: bytes, indexes: list[int]) -> None:
    keys = np.array(indexes, dtype=np.int64)
    try:
        symbols = decode(data, keys, GAUSSIAN)
    except FormatError:
        return
    assert encode(symbols, keys, GAUSSIAN) == data


@settings(max_examples=200, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(-32768, 32767), st.integers(0, 63)), max_size=50))
def test_any_symbols_come_back(pairs: list[tuple[int, int]]) -> None:
    symbols, indexes = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    assert assert_round_trip(symbols, indexes, GAUSSIAN) == reference_encode(symbols, indexes, GAUSSIAN)


def test_indexes_out_of_range_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="in 0 .. 0, found 1 .. 1"):
        decode(b"", [1], QUARTERS)
    with pytest.raises(ValueError, match="in 0 .. 0, found 1 .. 1"):
        encode([0], [1], QUARTERS)


def test_invalid_tables_are_found_before_use() -> None:
    unsound = Tables(QUARTERS.low, QUARTERS.high, QUARTERS.frequencies * 2)
    for use in (lambda: encode([0], [0], unsound), lambda: decode(b"", [0], unsound)):
        with pytest.raises(WeightsError, match="with the sum"):
            use()


class PanicException(BaseException):  # noqa: N818 - the name is what a panic of the native library has
    """Stands for a panic of the native library."""


@pytest.mark.parametrize("raised", [PanicException("so"), ValueError("so"), KeyError("so")])
def test_failures_of_the_native_coder_are_format_errors(raised: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes, count: int) -> None:
        raise raised

    monkeypatch.setattr(rangecoder, "_opened", fail)
    with pytest.raises(FormatError, match="so"):
        decode(b"", [0], QUARTERS)


def test_an_interrupt_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(data: bytes, count: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rangecoder, "_opened", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(b"", [0], QUARTERS)

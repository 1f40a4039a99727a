"""Sums of int8 products are exact with every backend, and only exact backends are chosen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from fedscodec.entropy import exact_matmul
from fedscodec.entropy.exact_matmul import (
    EXACT_BACKENDS,
    choose_exact_backend,
    float32_cuts,
    is_exact,
    largest_sums,
    prepare,
    row_buffer,
    sliding_product,
)
from fedscodec.errors import FedsError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _fresh_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("FEDS_EXACT_BACKEND", raising=False)
    exact_matmul._fastest_exact.cache_clear()
    yield
    exact_matmul._fastest_exact.cache_clear()


def product(left: Tensor, matrices: Tensor, rows: int, step: int, backend: str) -> Tensor:
    """`sliding_product` from int8 operands to int64."""
    buffer = row_buffer(left.shape[0], left.shape[1], backend, CPU)
    buffer[: left.shape[0], : left.shape[1]] = left
    return sliding_product(buffer, rows, step, prepare(matrices, backend, CPU)).to(torch.int64)


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_sliding_product_by_hand(backend: str) -> None:
    left = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.int8)
    matrices = torch.tensor([[[1], [10]], [[-1], [100]]], dtype=torch.int8)
    # row 0: 1 + 20 - 3 + 400, row 1: 3 + 40 - 5 + 600
    assert product(left, matrices, rows=2, step=1, backend=backend).tolist() == [[418], [638]]


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
@pytest.mark.parametrize("rows", [1, 17, 33])
def test_sliding_product_of_odd_sizes(backend: str, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    left = torch.randint(-128, 128, (rows + 2 * 5, 1031), dtype=torch.int8, generator=generator)
    matrices = torch.randint(-128, 128, (3, 1031, 9), dtype=torch.int8, generator=generator)
    wide, factors = left.numpy().astype(np.int64), matrices.numpy().astype(np.int64)
    expected = sum(wide[5 * r : 5 * r + rows] @ factors[r] for r in range(3))
    assert np.array_equal(product(left, matrices, rows, 5, backend).numpy(), expected)


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_sums_beyond_float32_are_exact(backend: str) -> None:
    left = torch.full((4, 4609), 127, dtype=torch.int8)
    right = torch.full((4609, 5), 127, dtype=torch.int8)
    exact = 4609 * 127 * 127  # 74,338,561 > 2**24 and odd: no float32
    assert torch.mm(left.float(), right.float())[0, 0].item() != exact  # so the cuts are needed
    assert product(left, right[None], 4, 0, backend).unique().tolist() == [exact]


def test_float32_cuts_by_hand() -> None:
    def cuts(value: int, rows: int) -> list[int]:
        return float32_cuts(torch.full((rows, 3), value, dtype=torch.int8))

    assert cuts(127, 4609) == [0, 1024, 2048, 3072, 4096, 4609]  # 2**24 / (128 * 127) = 1032, down to 32n
    assert cuts(-128, 2048) == [0, 1024, 2048]  # 1024 * 2**14 is 2**24 itself, which is still exact
    assert cuts(-128, 1025) == [0, 1024, 1025]
    assert cuts(7, 4609) == [0, 4609]
    assert cuts(0, 1) == [0, 1]


def test_float32_cuts_follow_the_worst_column() -> None:
    matrix = torch.zeros((3000, 2), dtype=torch.int8)
    matrix[1500:, 1] = -128
    cuts = float32_cuts(matrix)
    assert cuts == [0, 2496, 3000]  # 1500 + 1024 = 2524, down to a multiple of 32 is 2496 + 28
    for start, stop in ((0, 2496), (2496, 3000)):
        assert int(largest_sums(matrix[start:stop].t()).max()) <= 2**24
    assert int(largest_sums(matrix[:2528].t()).max()) > 2**24


def test_largest_sums_by_hand_and_reached() -> None:
    matrix = torch.tensor([[1, 2, -4], [-1, -2, -3], [0, 0, 0], [127, -128, 127]], dtype=torch.int8)
    # P = 3, N = 4: 128 * 3 + 127 * 4 = 892, but 127 * 3 + 128 * 4 = 893
    assert largest_sums(matrix).tolist() == [893, 768, 0, 127 * 128 + 128 * 254]
    upwards = torch.where(matrix[0] > 0, 127, -128)
    assert int((matrix[0].long() * upwards).sum()) == 893


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_every_backend_passes_its_test_on_this_cpu(backend: str) -> None:
    assert is_exact(backend, "cpu")


def test_a_saturating_or_missing_product_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(left: Tensor, right: Tensor) -> Tensor:
        return (left.long() @ right.long()).clamp(-(2**24), 2**24).int()

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not is_exact.__wrapped__("int_mm", "cpu")
    monkeypatch.delattr(torch, "_int_mm")
    assert not is_exact.__wrapped__("int_mm", "cpu")
    assert not is_exact.__wrapped__("float32", "cuda:77")


def test_rounding_products_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounding(left: Tensor, right: Tensor) -> Tensor:
        return torch.matmul(left.bfloat16(), right.bfloat16()).float()

    monkeypatch.setattr(torch, "mm", rounding)
    assert not is_exact.__wrapped__("float32", "cpu")


def test_cpu_chooses_by_vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_matmul, "_has_vnni", lambda: False)
    assert choose_exact_backend(CPU) == "float32"
    exact_matmul._fastest_exact.cache_clear()
    monkeypatch.setattr(exact_matmul, "_has_vnni", lambda: True)
    assert choose_exact_backend(CPU) == "int_mm"


def test_a_backend_that_fails_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_matmul, "_has_vnni", lambda: True)
    monkeypatch.setattr(exact_matmul, "is_exact", lambda backend, device: backend == "float64")
    assert choose_exact_backend(CPU) == "float64"
    exact_matmul._fastest_exact.cache_clear()
    monkeypatch.setattr(exact_matmul, "is_exact", lambda backend, device: False)
    with pytest.raises(FedsError, match="none of the backends int_mm, float32, float64 is exact"):
        choose_exact_backend(CPU)


def test_the_environment_overrides_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EXACT_BACKENDS:
        monkeypatch.setenv("FEDS_EXACT_BACKEND", name)
        assert choose_exact_backend(CPU) == name
    monkeypatch.setenv("FEDS_EXACT_BACKEND", "")
    assert choose_exact_backend(CPU) in ("int_mm", "float32")


def test_unknown_or_inexact_backends_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDS_EXACT_BACKEND", "float16")
    with pytest.raises(FedsError, match="FEDS_EXACT_BACKEND must be int_mm, float32 or float64, found float16"):
        choose_exact_backend(CPU)
    monkeypatch.setenv("FEDS_EXACT_BACKEND", "float32")
    monkeypatch.setattr(exact_matmul, "is_exact", lambda backend, device: False)
    with pytest.raises(FedsError, match="float32 is not exact on cpu"):
        choose_exact_backend(CPU)


def test_other_devices_are_refused() -> None:
    with pytest.raises(FedsError, match="expected a tensor on cpu or cuda, found meta"):
        choose_exact_backend(torch.device("meta"))

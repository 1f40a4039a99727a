"""Exact products of int8 matrices with the fastest arithmetic of the machine ("backends").

    int_mm   torch._int_mm, int8 x int8 -> int32: CPUs with AVX-512 VNNI (elsewhere slow or wrong), and CUDA
    float32  matmul, cut so that all sums stay <= 2**24: the fastest on other CPUs
    float64  matmul, exact as all sums stay < 2**31: CUDA devices without a sound int8 matmul

Floating point serves as a faster carrier of integers, and only where every value it can ever hold is an
integer within its mantissa: sums of such values are exact in any order, fused or not. int8 fits bfloat16 and
TF32 too, so torch.set_float32_matmul_precision (global, and therefore left alone) costs nothing where, as on
CPUs, it lowers the format of the products and not of the sums. Whatever the arithmetic promises, each backend
is compared with numpy's int64 on a device before its first use there.
"""

from __future__ import annotations

import functools
import itertools
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from fedscodec.entropy.precision import float32_settings, in_float32
from fedscodec.errors import FedsError, is_lack_of_memory

EXACT_BACKENDS = ("int_mm", "float32", "float64")

_Bytes = npt.NDArray[np.int8]
_CARRIER = {"int_mm": torch.int8, "float32": torch.float32, "float64": torch.float64}  # type of operands
_TOTAL = {"int_mm": torch.int32, "float32": torch.float64, "float64": torch.float64}  # type of sums of chunks
_FLOAT32_EXACT = 2**24  # every integer up to here is a float32
_CUT_MULTIPLE = 32  # chunks are cut at multiples of this many rows: so many reach 2**19 at most
_INT_MM_MULTIPLE = 16  # CUDA asks for 8 in the inner sizes; 16 aligns all rows (old cuBLAS erred at 17 rows)
_INT_MM_ROWS = 32  # CUDA asks for more than 16, and oneDNN has erred on a single row
_VNNI_PROBES = ("_is_vnni_supported", "_is_avx512_vnni_supported", "_is_cpu_support_avx512_vnni")


class Piece(NamedTuple):
    """Rows `start:stop` of one matrix of a stack: what one matmul takes."""

    block: int  # which matrix of the stack
    start: int
    stop: int
    matrix: Tensor  # [stop - start, O], carrier type


class Prepared(NamedTuple):
    """A stack of int8 matrices `[R, K, O]`, made ready for one backend on one device by `prepare`."""

    backend: str
    columns: int  # O
    chunks: list[list[Piece]]  # a chunk is summed in the carrier's type, all chunks together in `_TOTAL`


def prepare(matrices: Tensor, backend: str, device: torch.device) -> Prepared:
    """Make int8 `[R, K, O]` the right side of `sliding_product`; no sum over R and K may reach 2**31."""
    count, inner, columns = matrices.shape
    cuts = [0, count * inner]
    if backend == "int_mm":  # which accumulates within one call only
        padding = (0, -columns % _INT_MM_MULTIPLE, 0, -inner % _INT_MM_MULTIPLE)
        matrices = functional.pad(matrices, padding)
        inner = matrices.shape[1]
        cuts = [block * inner for block in range(count + 1)]
    elif backend == "float32":
        cuts = float32_cuts(matrices.reshape(-1, columns))
    chunks = [
        [
            Piece(block, start, stop, _carried(matrices[block, start:stop], backend, device))
            for block in range(count)
            if (start := max(first - block * inner, 0)) < (stop := min(last - block * inner, inner))
        ]
        for first, last in itertools.pairwise(cuts)
    ]
    return Prepared(backend, columns, chunks)


def row_buffer(rows: int, inner: int, backend: str, device: torch.device) -> Tensor:
    """Room for a left side, at least `[rows, inner]` in the carrier's type, not initialised.

    What is not filled does no harm: further rows are dropped again, further columns meet zeros on the right.
    """
    if backend == "int_mm":
        rows, inner = rows + _INT_MM_ROWS, inner + -inner % _INT_MM_MULTIPLE
    return torch.empty((rows, inner), dtype=_CARRIER[backend], device=device)


def left_side(x: Tensor, right: Prepared) -> Tensor:
    """Integers [N, K] within int8 as a `row_buffer`: x itself where it is one already."""
    (count, inner), kind = x.shape, _CARRIER[right.backend]
    whole = right.backend != "int_mm" or not (count % _INT_MM_MULTIPLE or inner % _INT_MM_MULTIPLE)
    if x.dtype == kind and x.is_contiguous() and whole and count >= _INT_MM_ROWS:
        return x
    buffer = row_buffer(count, inner, right.backend, x.device)
    buffer[:count, :inner] = x
    return buffer


def sliding_product(buffer: Tensor, rows: int, step: int, right: Prepared) -> Tensor:
    """Sum over r of `buffer[r*step : r*step + rows] @ matrices[r]`: `[rows, O]`, integers in any type.

    `buffer` is a `row_buffer` with its first `(R - 1) * step + rows` rows and K columns filled.
    """
    height = max(rows + -rows % _INT_MM_MULTIPLE, _INT_MM_ROWS) if right.backend == "int_mm" else rows
    multiply = torch._int_mm if right.backend == "int_mm" else torch.mm
    parts: list[Tensor] = []
    with in_float32(buffer):  # it would make bfloat16 of sums in float32
        for chunk in right.chunks:
            blocks = [buffer[p.block * step : p.block * step + height, p.start : p.stop] for p in chunk]
            part = multiply(blocks[0], chunk[0].matrix)
            for block, piece in zip(blocks[1:], chunk[1:], strict=True):
                part.addmm_(block, piece.matrix)
            parts = [part] if not parts else [parts[0].to(_TOTAL[right.backend]).add_(part)]
    return parts[0][:rows, : right.columns]


def largest_sums(matrix: Tensor) -> Tensor:
    """Per row of int8 `[O, K]`, K < 2**24, the largest |sum| of its products with int8 inputs: int64 `[O]`.

    With P the sum of the positive entries and -N that of the others, the inputs that reach furthest up and
    down are 127 on one sign and -128 on the other, for 127 P + 128 N and -(128 P + 127 N); fewer terms
    reach less far, so this also bounds all partial sums, in any order.
    """
    positive = matrix.clamp(min=0).sum(dim=1, dtype=torch.int32)  # four times as fast as in int64
    negative = positive - matrix.sum(dim=1, dtype=torch.int32)
    return _furthest(positive.to(torch.int64), negative.to(torch.int64))


def float32_cuts(matrix: Tensor) -> list[int]:
    """Where to cut the rows of int8 `[K, O]` so that no sum over a part, whatever the inputs, exceeds 2**24.

    Returns 0, the cuts, and K: greedily as few parts as multiples of `_CUT_MULTIPLE` rows allow.
    """
    inner, columns = matrix.shape
    padded = functional.pad(matrix, (0, 0, 0, -inner % _CUT_MULTIPLE))
    blocks = padded.view(-1, _CUT_MULTIPLE, columns)
    positive = blocks.clamp(min=0).sum(dim=1, dtype=torch.int32)
    negative = positive - blocks.sum(dim=1, dtype=torch.int32)
    cuts = [0]
    while cuts[-1] < len(blocks):
        sums = (part[cuts[-1] :].cumsum(0, dtype=torch.int64) for part in (positive, negative))
        cuts.append(cuts[-1] + int((_furthest(*sums).amax(dim=1) <= _FLOAT32_EXACT).sum()))
    return [min(cut * _CUT_MULTIPLE, inner) for cut in cuts]


def choose_exact_backend(device: torch.device) -> str:
    """Name the fastest backend that is exact on `device` (one of EXACT_BACKENDS), found once per device.

    The environment variable FEDS_EXACT_BACKEND overrides it. Raises FedsError if it names no backend or one
    that fails its self-test here, and for devices other than CPU and CUDA.
    """
    if device.type not in ("cpu", "cuda"):
        raise FedsError(f"expected a tensor on cpu or cuda, found {device.type}")
    asked = os.environ.get("FEDS_EXACT_BACKEND")
    if not asked:
        return _fastest_exact(str(device))
    if asked not in EXACT_BACKENDS:
        known = f"{', '.join(EXACT_BACKENDS[:-1])} or {EXACT_BACKENDS[-1]}"
        raise FedsError(f"FEDS_EXACT_BACKEND must be {known}, found {asked}")
    if not is_exact(asked, str(device)):
        raise FedsError(f"the backend {asked} is not exact on {device}")
    return asked


@functools.cache
def is_exact(backend: str, device: str) -> bool:
    """Whether `backend` works on `device` and agrees with numpy's int64 on extreme and on random matrices."""
    rows, inner, columns = 40, 2000, 24
    random = np.random.default_rng(1).integers(-128, 128, size=(rows, inner), dtype=np.int8)
    lowest, highest = (np.full((rows, inner), value, dtype=np.int8) for value in (-128, 127))
    mixed = np.where(np.arange(inner) % 2, lowest, highest)
    pairs = itertools.product((lowest, highest, mixed, random), (lowest, highest, random))
    try:
        return all(_agrees(left, right[:columns].T, backend, torch.device(device)) for left, right in pairs)
    except (RuntimeError, AttributeError) as failure:  # torch's ways to say that it cannot do it here
        if is_lack_of_memory(failure):
            raise  # which says nothing about the backend
        return False


def _agrees(left: _Bytes, right: _Bytes, backend: str, device: torch.device) -> bool:
    (rows, inner), prepared = left.shape, prepare(torch.from_numpy(right.copy())[None], backend, device)
    buffer = row_buffer(rows, inner, backend, device)
    buffer[:rows, :inner] = torch.from_numpy(left).to(device)
    product = sliding_product(buffer, rows, 0, prepared).cpu().numpy()
    return np.array_equal(product, left.astype(np.int64) @ right.astype(np.int64))


def are_float32_products_exact(device: torch.device) -> bool:
    """Whether float32 products of integers of 12 bits are exact as torch is set now.

    Its global settings for such products, and oneDNN's variables of the environment, may allow bfloat16 inputs. These
    hold int8, and no more than 8 bits.
    """
    return _are_wide_products_exact(str(device), float32_settings())


@functools.cache
def _are_wide_products_exact(device: str, settings: tuple[object, ...]) -> bool:
    """The test; it depends on the settings without reading them."""
    random = torch.Generator().manual_seed(3)
    left = torch.randint(-2047, 2048, (64, 512), generator=random)
    right = torch.randint(-8, 9, (512, 192), generator=random)  # sums stay below 2**24
    bias = torch.randint(-(2**16), 2**16, (192,), generator=random)
    operands = [x.float().to(device) for x in (bias, left, right)]
    with in_float32(operands[0]):
        found = torch.addmm(*operands)
    return torch.equal(found.cpu().long(), bias + left @ right)


@functools.cache
def _fastest_exact(device: str) -> str:
    if torch.device(device).type == "cuda":
        candidates: tuple[str, ...] = ("int_mm", "float64")
    else:
        candidates = ("int_mm", "float32", "float64") if _has_vnni() else ("float32", "float64")
    for backend in candidates:
        if is_exact(backend, device):
            return backend
    raise FedsError(f"none of the backends {', '.join(candidates)} is exact on {device}")


def _has_vnni() -> bool:
    """Whether this CPU multiplies int8 fast: without AVX-512 VNNI torch loops or, if old, saturates."""
    probes = [getattr(torch.cpu, name, bool) for name in _VNNI_PROBES]  # the name differs between versions
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512") and any(probe() for probe in probes)


def _carried(matrix: Tensor, backend: str, device: torch.device) -> Tensor:
    """Int8 `[K, O]` in the carrier's type, laid out as multiplied best: cuBLAS takes int8 by columns."""
    if backend == "int_mm":
        return matrix.t().contiguous().to(device).t()
    return matrix.contiguous().to(device, _CARRIER[backend])


def _furthest(positive: Tensor, negative: Tensor) -> Tensor:
    return torch.maximum(127 * positive + 128 * negative, 128 * positive + 127 * negative)

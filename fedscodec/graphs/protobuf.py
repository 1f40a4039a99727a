"""Write an ONNX file: the few messages of onnx.proto3 that our graphs need, without the onnx package.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 (numbers of fields and types). Field numbers are in the
code beside what they hold.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

IR_VERSION, OPSET = 8, 17
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int16": 5, "int32": 6, "int64": 7}
"""Element types of tensors, by numpy's names."""

Attribute = int | float | str | tuple[int, ...]
Value = tuple[str, str, Sequence[int | str]]
"""An input or output: name, type, and sides; a side that is a word may have any length."""


@functools.lru_cache(4096)
def _number(value: int) -> bytes:
    """A varint; negative numbers take ten bytes, as in 64-bit two's complement."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _whole(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _block(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return b"".join((_number(field << 3 | 2), _number(len(data)), data))


@functools.lru_cache(256, typed=True)  # graphs repeat a few
def _attribute(name: str, value: Attribute) -> bytes:
    head = _block(1, name)
    if isinstance(value, int):
        return head + _whole(3, value) + _whole(20, 2)
    if isinstance(value, float):
        return head + _number(2 << 3 | 5) + struct.pack("<f", value) + _whole(20, 1)
    if isinstance(value, str):
        return head + _block(4, value) + _whole(20, 3)
    return head + b"".join(_whole(8, one) for one in value) + _whole(20, 7)


def node(kind: str, inputs: Iterable[str], outputs: Iterable[str], attributes: Mapping[str, Attribute]) -> bytes:
    """A NodeProto."""
    return b"".join([
        *(_block(1, name) for name in inputs),
        *(_block(2, name) for name in outputs),
        _block(4, kind),
        *(_block(5, _attribute(name, value)) for name, value in attributes.items()),
    ])  # fmt: skip


def tensor(name: str, array: np.ndarray) -> tuple[bytes, memoryview]:
    """A TensorProto in two pieces: what comes before its numbers, and these, which are copied only once, at the end."""
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
    dims = b"".join(_whole(1, side) for side in array.shape)
    kind = _whole(2, TYPES[array.dtype.name])
    return b"".join((dims, kind, _block(8, name), _number(9 << 3 | 2), _number(len(data)))), data


def _value(value: Value) -> bytes:
    name, kind, sides = value
    dims = b"".join(_block(1, _block(2, side) if isinstance(side, str) else _whole(1, side)) for side in sides)
    return _block(1, name) + _block(2, _block(1, _whole(1, TYPES[kind]) + _block(2, dims)))


def model(
    name: str, nodes: Sequence[bytes], tensors: Sequence[tuple[bytes, memoryview]], inputs: Sequence[Value],
    outputs: Sequence[Value], words: Mapping[str, str],
) -> bytes:  # fmt: skip
    """A ModelProto, which is a whole file; words become its metadata."""
    graph = [
        *(_block(1, one) for one in nodes),
        _block(2, name),
        *(part for head, data in tensors for part in (_number(5 << 3 | 2), _number(len(head) + len(data)), head, data)),
        *(_block(11, _value(one)) for one in inputs),
        *(_block(12, _value(one)) for one in outputs),
    ]
    metadata = (_block(14, _block(1, key) + _block(2, value)) for key, value in words.items())
    return b"".join([
        _whole(1, IR_VERSION), _block(2, "feds"), _number(7 << 3 | 2), _number(sum(map(len, graph))), *graph,
        _block(8, _block(1, "") + _whole(2, OPSET)), *metadata,
    ])  # fmt: skip

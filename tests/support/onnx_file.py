"""Writes tiny ONNX files by hand: the few fields of that Protocol Buffers format that a drawn network needs."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FLOAT, UINT8 = 1, 2


def number(value: int) -> bytes:
    """A varint."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def integer(field: int, value: int) -> bytes:
    return number(field << 3) + number(value)


def message(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return number(field << 3 | 2) + number(len(raw)) + raw


def tensor(name: str, values: NDArray[np.float32]) -> bytes:
    dims = b"".join(integer(1, size) for size in values.shape)
    return dims + integer(2, FLOAT) + message(8, name) + message(9, values.astype("<f4").tobytes())


def value_info(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(message(1, integer(1, d) if isinstance(d, int) else message(2, d)) for d in shape)
    return message(1, name) + message(2, message(1, integer(1, kind) + message(2, dims)))


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], ints: Mapping[str, Sequence[int]] = {}) -> bytes:
    names = b"".join(message(1, name) for name in inputs) + b"".join(message(2, name) for name in outputs)
    attributes = b"".join(
        message(5, message(1, key) + b"".join(integer(8, v) for v in values) + integer(20, 7))
        for key, values in ints.items()
    )
    return names + message(4, op) + attributes


def model(
    nodes: Sequence[bytes],
    tensors: Mapping[str, NDArray[np.float32]],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
) -> bytes:
    """A whole file, opset 13."""
    graph = b"".join(message(1, n) for n in nodes) + message(2, "drawn")
    graph += b"".join(message(5, tensor(name, values)) for name, values in tensors.items())
    graph += b"".join(message(11, i) for i in inputs) + b"".join(message(12, o) for o in outputs)
    return integer(1, 8) + message(7, graph) + message(8, message(1, "") + integer(2, 13))

"""The files of `vgg16-copy`, factors and head: at half precision, each with the digest of its values."""

import hashlib
import io
import math
import struct
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.encoders.vgg16 import layers
from lookalike.encoders.vgg16_copy.network import DESCRIPTOR_WIDTH, Factors, LayerFactors
from lookalike.encoders.vgg16_copy.whitening import Head
from lookalike.errors import BadSetting, Damaged

Arrays = dict[str, NDArray[np.float16]]

MAX_KERNELS = 3
LOCAL_HEADER = 30
"""Bytes before the name in a local header of a zip file (APPNOTE.TXT 4.3.7), the last four the lengths that follow."""
NPY_HEADER = 512
"""More bytes than an .npy header of a shape of four numbers takes (128)."""


def digest(arrays: Arrays) -> str:
    """SHA-256 over names, shapes and values, independent of the file format and of the order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].shape} ".encode())
        total.update(np.ascontiguousarray(arrays[name], dtype="<f2").data)
    return total.hexdigest()


def factor_arrays(factors: Factors) -> Arrays:
    """The arrays of a file of factors."""
    arrays: Arrays = {}
    for name, layer in factors.items():
        for number, kernel in enumerate(layer.kernels):
            arrays[f"{name}.kernel{number}"] = kernel.astype(np.float16)
        arrays[f"{name}.bias"] = layer.bias.astype(np.float16)
    return arrays


def head_arrays(head: Head) -> Arrays:
    """The arrays of a file with a head."""
    return {"offset": head.offset.astype(np.float16), "matrix": head.matrix.astype(np.float16)}


def to_npz(arrays: Arrays) -> bytes:
    """The bytes of a file, the same for the same arrays: an uncompressed .npz, which holds the digest too."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in sorted({**arrays, "digest": np.array(digest(arrays))}.items()):
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(array) if array.ndim else array)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), entry.getvalue())
    return buffer.getvalue()


def read_factors(path: Path) -> tuple[dict[str, LayerFactors], str]:
    """The factors of a file, float32, and their digest; raises Damaged where they are not VGG16's in low-rank form."""
    arrays, stated = _read(path, str(path))
    factors = {}
    for name, shape in layers():
        kernels = [arrays[key] for n in range(MAX_KERNELS) if (key := f"{name}.kernel{n}") in arrays]
        bias = arrays.get(f"{name}.bias")
        chained = kernels and all(a.shape[0] == b.shape[1] for a, b in pairwise(kernels))
        if not chained or bias is None or (bias.shape, kernels[0].shape[1]) != (shape[:1], shape[1]):
            raise Damaged(f"{path}: {name} is missing or has another shape; install lookalike again")
        factors[name] = LayerFactors(tuple(k.astype(np.float32) for k in kernels), bias.astype(np.float32))
    return factors, stated


def read_head(source: Path | bytes, what: str) -> tuple[Head, str]:
    """The head of a file, float32, and its digest; raises Damaged where it is not one for these descriptors."""
    arrays, stated = _read(source, what)
    offset, matrix = arrays.get("offset"), arrays.get("matrix")
    if offset is None or matrix is None or offset.shape != (DESCRIPTOR_WIDTH,) or matrix.shape[0] != DESCRIPTOR_WIDTH:
        raise Damaged(f"{what}: not a head of vgg16-copy ({DESCRIPTOR_WIDTH} inputs); train it again")
    return Head(offset.astype(np.float32), matrix.astype(np.float32)), stated


def narrowed(head: Head, width: int, name: str) -> Head:
    """The first columns of a head, which are the most important ones; raises BadSetting where there are fewer."""
    if width > head.matrix.shape[1]:
        raise BadSetting(f"[{name}] dimensions is {width}, its head has {head.matrix.shape[1]}")
    return Head(head.offset, np.ascontiguousarray(head.matrix[:, :width]))


def _read(source: Path | bytes, what: str) -> tuple[Arrays, str]:
    try:
        arrays = _views(source if isinstance(source, bytes) else source.read_bytes())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise Damaged(f"{what}: not a readable file of weights ({error})") from error
    stated = str(arrays.pop("digest", ""))
    if any(array.dtype != np.float16 for array in arrays.values()) or digest(arrays) != stated:
        raise Damaged(f"{what}: the weights do not match their digest")
    return arrays, stated


def _views(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an uncompressed .npz, as read-only views of its bytes: np.load copies them, in twice the time.

    Their content is not checked, but by the digest. Raises ValueError for any other file.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            names = data[
                entry.header_offset + 26 : entry.header_offset + LOCAL_HEADER
            ]  # lengths of name and extra field
            start = entry.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", names))
            if entry.compress_type != zipfile.ZIP_STORED or not start + entry.file_size <= len(data):
                raise ValueError(f"{entry.filename} is compressed or incomplete")
            header = io.BytesIO(data[start : start + NPY_HEADER])
            if np.lib.format.read_magic(header) != (1, 0):
                raise ValueError(f"{entry.filename} is of another version of .npy")
            shape, in_columns, kind = np.lib.format.read_array_header_1_0(header)
            if in_columns or kind.hasobject:
                raise ValueError(f"{entry.filename} is not an array of numbers in rows")
            flat = np.frombuffer(data, kind, math.prod(shape), start + header.tell())
            arrays[entry.filename.removesuffix(".npy")] = flat.reshape(shape)
    return arrays

"""Arrays in an ``.npz`` file, read a row at a time: a file may be larger than the memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

_CHUNK = 1 << 24  # bytes that are read at once


def member_names(file: Path) -> set[str]:
    """Return the names of the arrays."""
    with zipfile.ZipFile(file) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}


def shape_of(file: Path, name: str) -> tuple[int, ...]:
    """Return the shape of an array, of at least one dimension."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        return _header(stream, archive.getinfo(f"{name}.npy").file_size)[0]


def read_member(file: Path, name: str) -> np.ndarray:
    """Return a whole array."""
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        shape, dtype = _header(stream, archive.getinfo(f"{name}.npy").file_size)
        content = stream.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(shape)


def rows(file: Path, name: str) -> Iterator[np.ndarray]:
    """Yield ``array[0]``, ``array[1]``, ..

    Raises:
        ValueError: The array is not stored row by row, or the file ends too early.
    """
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        (num_rows, *shape), dtype = _header(stream, archive.getinfo(f"{name}.npy").file_size)
        size = math.prod(shape) * dtype.itemsize
        at_once = max(1, _CHUNK // max(size, 1))
        for start in range(0, num_rows, at_once):
            count = min(at_once, num_rows - start)
            content = stream.read(count * size)
            yield from np.frombuffer(content, dtype).reshape(count, *shape)


def _header(stream: IO[bytes], num_bytes: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and dtype; the array needs no more bytes than the archive says it has."""
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"its arrays have the unknown version {version}")
    shape, is_fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if not shape:
        raise ValueError("it holds a single number where an array should be")
    if is_fortran and len(shape) > 1:
        raise ValueError("an array is stored by columns; save numpy.ascontiguousarray of it")
    if math.prod(shape) * dtype.itemsize > num_bytes:
        raise ValueError("an array is longer than the file")
    return shape, dtype

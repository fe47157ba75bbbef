"""Reads the IDX files of MNIST and Fashion-MNIST, packed with gzip or not.

torchvision reads unpacked files only, but Debian's package holds packed ones.
"""

import gzip
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tunebox.errors import DataError, reading

_ADVICE = "remove it and fetch it again"
_MOST_BYTES = 1 << 30  # unpacked; a packed file may become a thousand times as large
_PART_BYTES = 1 << 20
_UINT8 = 0x08  # the code for unsigned bytes in the third byte of the header


def read_idx(path: Path) -> Tensor:
    """Return the array in an IDX file of unsigned bytes as a uint8 tensor.

    Raises:
        DataError: The file cannot be read, holds something else, or is cut short.
    """
    with reading(path, DataError, advice=_ADVICE):
        return _read(path)


def _read(path: Path) -> Tensor:
    raw = bytearray()
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while part := file.read(_PART_BYTES):
            raw += part
            if len(raw) > _MOST_BYTES:
                raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    num_dims = raw[3] if len(raw) >= 4 and raw[:3] == bytes((0, 0, _UINT8)) else 0
    start = 4 + 4 * num_dims
    shape = [int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4)]
    if num_dims == 0 or len(raw) != start + prod(shape):
        raise ValueError("not a whole IDX file of unsigned bytes")
    # The copy makes the array writable, as torch wants it.
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy())

"""Reads the IDX files of MNIST and Fashion-MNIST, packed with gzip or not.

torchvision reads unpacked files only, but Debian's package holds packed ones.
"""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tunebox.errors import DataError

_UINT8 = 0x08  # the code for unsigned bytes in the third byte of the header


def read_idx(path: Path) -> Tensor:
    """Return the array in an IDX file of unsigned bytes as a uint8 tensor.

    Raises:
        DataError: The file cannot be read, holds something else, or is cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it and fetch it again") from None
    num_dims = raw[3] if len(raw) >= 4 and raw[:3] == bytes((0, 0, _UINT8)) else 0
    start = 4 + 4 * num_dims
    shape = [int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4)]
    if num_dims == 0 or len(raw) != start + prod(shape):
        raise DataError(
            f"{path}: not a whole IDX file of unsigned bytes; remove it and fetch it again"
        )
    # The copy makes the array writable, as torch wants it.
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy())

"""User-defined data sets: what their images may be, and what becomes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.image_files import INDICES, PALETTE, random
from tunebox.data.image_set import to_unit_range
from tunebox.data.own import image_set
from tunebox.errors import DataError

DEEP = random((6, 5), 4095)
BYTES = random((6, 5))


class Pairs(list[Any]):
    classes = ("cat", "dog")


def set_of(*images: Any) -> Pairs:
    return Pairs((image, number % 2) for number, image in enumerate(images))


@pytest.mark.parametrize(
    "image",
    [DEEP, DEEP.astype(">u2"), torch.from_numpy(DEEP), Image.fromarray(DEEP)],
    ids=["array", "big-endian", "tensor", "PIL"],
)
def test_16_bits_are_kept(image: Any) -> None:
    made = image_set(set_of(image, image), "own")
    assert made.images.dtype == torch.uint16
    assert np.array_equal(made.images[1, 0].numpy(), DEEP)
    assert made.bits == 16
    assert made.class_names == ("cat", "dog")
    assert image_set(set_of(image), "own", 12).bits == 12
    with pytest.raises(DataError, match=r"own: holds the value 4095, more than the 1023 of data/b"):
        image_set(set_of(image), "own", 10)


def test_floats_keep_16_bits_and_bytes_stay_bytes() -> None:
    deep = image_set(set_of((DEEP / 4095).astype(np.float32)), "own")
    assert len(np.unique(deep.images.numpy())) == len(np.unique(DEEP))
    scaled = to_unit_range(deep.images, deep.bits)[0, 0].numpy()
    np.testing.assert_allclose(scaled, DEEP / 4095, atol=0.51 / 65535)
    shallow = image_set(set_of(torch.from_numpy(BYTES).float() / 255), "own")
    assert shallow.images.dtype == torch.uint8
    assert np.array_equal(shallow.images[0, 0].numpy(), BYTES)


def test_palettes_are_colours_and_not_numbers() -> None:
    image = Image.fromarray(INDICES, "P")
    image.putpalette(PALETTE.tobytes())
    made = image_set(set_of(image), "own")
    assert np.array_equal(made.images[0].numpy(), PALETTE[INDICES].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ((BYTES, DEEP), r"need one dtype, got torch\.uint16 and torch\.uint8"),
        ((BYTES, BYTES[:3]), r"need one shape, got \(1, 3, 5\) and \(1, 6, 5\)"),
        ((DEEP.astype(np.int32),), r"uint8, uint16 or float in \[0, 1\], got torch\.int32"),
        ((DEEP.astype(np.float32),), r"float images lie in \[0, 1\], got 0 to 4095"),
        ((np.full((2, 2), np.nan),), r"float images lie in \[0, 1\], got nan to nan"),
    ],
)
def test_what_is_not_clear_is_refused(images: tuple[Any, ...], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        image_set(set_of(*images), "own")


def test_bits_of_other_depths_are_refused() -> None:
    for image in (BYTES, BYTES / 255):
        with pytest.raises(DataError, match=r"data/bits is 12, but .* leave it out"):
            image_set(set_of(image), "own", 12)

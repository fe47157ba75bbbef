"""User-defined data sets: any map-style torch data set of images and labels.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tunebox.data.image_set import ImageSet
from tunebox.errors import DataError

_DTYPES = (torch.uint8, torch.uint16)


def image_set(dataset: Any, name: str, bits: int | Literal["auto"] = "auto") -> ImageSet:
    """Return the images of ``dataset`` as one tensor.

    Args:
        dataset: Has a length, and ``dataset[i]`` is an image and its label. An image is a PIL
            image, an array ``(H, W)`` or ``(H, W, C)``, or a tensor ``(C, H, W)``; uint8, uint16,
            or float in [0, 1]. Labels count from 0. The attribute ``classes`` of the data set, if
            it exists, gives the number of classes and their names.
        name: Name of the data set in messages.
        bits: White is ``2**bits - 1`` in uint16 images; ``auto``: 16.

    Raises:
        DataError: It is not such a data set, or its images differ in shape or dtype.
    """
    try:
        size = len(dataset)
        pairs = [dataset[index] for index in range(size)]
        images = [_image(pair[0]) for pair in pairs]
        labels = torch.tensor([int(pair[1]) for pair in pairs], dtype=torch.int64)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OSError) as error:
        raise DataError(
            f"{name}: expected a data set that gives an image and a label by number, as "
            f"torch.utils.data.Dataset does ({type(error).__name__}: {error})"
        ) from error
    for what, found in {
        "shape": {str(tuple(image.shape)) for image in images},
        "dtype": {str(image.dtype) for image in images},
    }.items():
        if len(found) != 1:
            got = " and ".join(sorted(found)[:2]) or "no image"
            raise DataError(f"{name}: all images need one {what}, got {got}; convert them")
    if int(labels.min()) < 0:
        raise DataError(f"{name}: classes are numbered from 0, got the label {int(labels.min())}")
    classes = getattr(dataset, "classes", ())
    num_classes = max(int(labels.max()) + 1, len(classes))
    names = tuple(map(str, classes)) if len(set(classes)) == num_classes else None
    stacked, depth = _integers(torch.stack(images), name, bits)
    return ImageSet(stacked, labels, num_classes, bits=depth, class_names=names)


def _image(image: Any) -> Tensor:
    """Return an image as uint8, uint16 or float32 in [0, 1], ``(C, H, W)``."""
    if isinstance(image, Tensor):
        values = image if image.ndim == 3 else image.unsqueeze(0)
    else:
        if isinstance(image, Image.Image) and image.mode in ("1", "P", "PA", "CMYK", "YCbCr"):
            image = image.convert("L" if image.mode == "1" else "RGB")  # not numbers of colours
        array = np.asarray(image)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        values = torch.from_numpy(np.array(array[..., None] if array.ndim == 2 else array))
        values = values.permute(2, 0, 1)
    if values.dtype in _DTYPES:
        return values.contiguous()
    if not values.is_floating_point():
        raise ValueError(f"images are uint8, uint16 or float in [0, 1], got {values.dtype}")
    if not (float(values.min()) >= 0 and float(values.max()) <= 1):
        low, high = float(values.min()), float(values.max())
        raise ValueError(f"float images lie in [0, 1], got {low:g} to {high:g}")
    return values.to(torch.float32).contiguous()


def _integers(images: Tensor, name: str, bits: int | Literal["auto"]) -> tuple[Tensor, int]:
    """Return the images as integers, and their depth."""
    if images.is_floating_point():
        if bits != "auto":
            raise DataError(f"{name}: data/bits is {bits}, but the images are floats; leave it out")
        in_255 = images.mul(255)
        if bool((in_255 - in_255.round()).abs().max() < 1e-3):  # they were uint8 before
            return in_255.round().to(torch.uint8), 8
        return images.double().mul(65535).round().to(torch.int32).to(torch.uint16), 16
    if images.dtype == torch.uint8:
        if bits not in ("auto", 8):
            raise DataError(f"{name}: data/bits is {bits}, but the images are uint8; leave it out")
        return images, 8
    depth = 16 if bits == "auto" else bits
    most = int(images.to(torch.int32).max())
    if most > 2**depth - 1:
        raise DataError(
            f"{name}: holds the value {most}, more than the {2**depth - 1} of data/bits: {depth}"
        )
    return images, depth

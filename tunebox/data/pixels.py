"""From images as they are in files to one array of equal shape and scale. Imports no torch.

Shapes: N images, H x W pixels, C channels, 1 or 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

_LUMA = (19595, 38470, 7471)  # of 65536: the weights of Pillow, those of ITU-R 601


def grey(pixels: np.ndarray) -> np.ndarray:
    """Return ``(H, W, 1)`` of an image ``(H, W, C)``, in its dtype, with Pillow's weights."""
    if pixels.shape[2] == 1:
        return pixels
    weighted = pixels.astype(np.uint32) @ np.array(_LUMA, dtype=np.uint32)
    result: np.ndarray = ((weighted + 0x8000) >> 16).astype(pixels.dtype)[..., None]
    return result


def fit(pixels: np.ndarray, size: int | None) -> np.ndarray:
    """Return the centre ``(C, size, size)`` of an image whose shorter side is scaled to ``size``.

    The scaling is Pillow's bilinear filter, which averages over all pixels when it shrinks.

    Args:
        pixels: ``(H, W, C)``, uint8 or uint16; the result has the same dtype.
        size: Pixels of the result's sides, as torchvision's ``resize`` takes it; None leaves the
            image as it is.
    """
    if size is None:
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    height, width = pixels.shape[:2]
    short, long = sorted((height, width))
    other = int(size * long / short)
    shape = (size, other) if width <= height else (other, size)  # width, height
    scaled = pixels if shape == (width, height) else _resized(pixels, shape)
    top = round((scaled.shape[0] - size) / 2)
    left = round((scaled.shape[1] - size) / 2)
    return np.ascontiguousarray(scaled[top : top + size, left : left + size].transpose(2, 0, 1))


def _resized(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        values = np.asarray(image.resize(shape, Image.Resampling.BILINEAR))
        return values.reshape(*values.shape[:2], -1)
    # Pillow has no deep colours, but floats: a channel at a time, which hold 16 bits exactly.
    channels = [
        np.asarray(
            Image.fromarray(channel.astype(np.float32)).resize(shape, Image.Resampling.BILINEAR)
        )
        for channel in np.moveaxis(pixels, 2, 0)
    ]
    rounded: np.ndarray = np.rint(np.stack(channels, axis=-1)).astype(np.uint16)
    return rounded


def common_bits(bits: Sequence[int]) -> int:
    """Return the depth of a set with files of these depths: that of the deepest."""
    return max([8, *bits])


def stacked(images: list[np.ndarray], bits: Sequence[int], to_bits: int) -> np.ndarray:
    """Return images of one size as an array, ``(N, C, H, W)``; ``images`` is emptied meanwhile.

    C is 3 if an image has colours, else 1. Grey images among them have the same value in all
    channels. Images of 8 bits among deeper ones are scaled, so that their white is the white of the
    rest.

    Args:
        images: Each ``(C, H, W)``, uint8 or uint16.
        bits: Depth of each image.
        to_bits: Depth of the result: uint8 up to 8, else uint16.
    """
    channels = max(len(image) for image in images)
    dtype = np.uint8 if to_bits <= 8 else np.uint16
    result = np.empty((len(images), channels, *images[0].shape[1:]), dtype)
    for index, depth in enumerate(bits):
        image = images[index]
        images[index] = image[:0]  # its memory can be used for the result
        if depth <= 8 < to_bits:
            image = np.rint(image * ((2**to_bits - 1) / 255))
        result[index] = image
    return result

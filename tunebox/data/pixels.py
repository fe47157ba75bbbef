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


def row_of(image: np.ndarray, bits: int, channels: int, to_bits: int) -> np.ndarray:
    """Return an image with the channels and the depth of its data set.

    Args:
        image: ``(C, H, W)``, uint8 or uint16; with one channel, that is repeated.
        bits: White of the image is ``2**bits - 1``.
        channels: Channels of the result.
        to_bits: Depth of the result: uint8 up to 8, else uint16. An image of 8 bits is scaled to a
            greater depth, so that its white becomes the white of the result.
    """
    if bits <= 8 < to_bits:
        image = np.rint(image * ((2**to_bits - 1) / 255))
    image = image.astype(np.uint8 if to_bits <= 8 else np.uint16, copy=False)
    return np.broadcast_to(image, (channels, *image.shape[1:]))

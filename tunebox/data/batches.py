"""Batches of an image set that stays on the device."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tunebox.data.image_set import ImageSet


def num_batches(num_images: int, batch_size: int) -> int:
    """Return how many batches :func:`batches` gives in an epoch, at least 1."""
    return max(1, num_images // batch_size)


def batches(
    image_set: ImageSet, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Give the images once in a random order, without the last, smaller batch.

    A set smaller than ``batch_size`` gives one batch with all of its images.

    Args:
        image_set: On any device.
        batch_size: Images in a batch, B.
        generator: On the device of the images.

    Yields:
        Images ``(B, C, H, W)`` uint8 or uint16, labels ``(B,)`` int64, and the places ``(B,)`` of
        the images in the set.
    """
    order = torch.randperm(
        len(image_set), generator=generator, device=image_set.images.device
    )  # one permutation an epoch, and no copy to the host
    for number in range(num_batches(len(image_set), batch_size)):
        indices = order[number * batch_size : (number + 1) * batch_size]
        yield image_set.images_at(indices), image_set.labels.index_select(0, indices), indices

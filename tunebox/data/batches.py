"""Batches of an image set in a random order."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tunebox.data.stored_set import AnyImageSet


def num_batches(num_images: int, batch_size: int) -> int:
    """Return how many batches :func:`batches` gives in an epoch, at least 1."""
    return max(1, num_images // batch_size)


def batches(
    image_set: AnyImageSet, batch_size: int, generator: torch.Generator
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
        len(image_set), generator=generator, device=image_set.device
    )  # one permutation an epoch, and no copy to the host unless the images are in a file
    count = num_batches(len(image_set), batch_size)
    groups = [order[number * batch_size : (number + 1) * batch_size] for number in range(count)]
    for images, indices in zip(image_set.batches_at(groups), groups, strict=True):
        yield images, image_set.labels.index_select(0, indices), indices

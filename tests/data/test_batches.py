from __future__ import annotations

import pytest
import torch

from tunebox.data.batches import batches, num_batches
from tunebox.data.image_set import ImageSet


def numbered_set(num_images: int) -> ImageSet:
    """Images whose pixels hold their own number, which is also the label."""
    numbers = torch.arange(num_images)
    images = numbers.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return ImageSet(images, numbers, num_classes=num_images)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("num_images", "batch_size", "sizes"),
    [(10, 3, [3, 3, 3]), (9, 3, [3, 3, 3]), (2, 3, [2]), (3, 3, [3])],
)
def test_sizes(num_images: int, batch_size: int, sizes: list[int]) -> None:
    seen = list(batches(numbered_set(num_images), batch_size, generator()))
    assert [len(labels) for _, labels, _ in seen] == sizes
    assert num_batches(num_images, batch_size) == len(sizes)


def test_every_image_once_with_its_label_in_a_new_order() -> None:
    stream = generator()
    orders = []
    for _ in range(2):
        images, labels, indices = zip(*batches(numbered_set(50), 10, stream), strict=True)
        order = torch.cat(labels)
        assert torch.equal(torch.cat(indices), order)  # image 7 has the label 7
        assert torch.equal(torch.cat(images)[:, 0, 0, 0].long(), order)
        assert sorted(order.tolist()) == list(range(50))
        orders.append(order)
    assert not torch.equal(*orders)

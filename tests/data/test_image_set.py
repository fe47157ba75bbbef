from __future__ import annotations

import pytest
import torch

from tunebox.data.image_set import ImageSet


def random_set(num_images: int = 50) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (num_images, 3, 5, 4), generator=generator, dtype=torch.uint8)
    return ImageSet(images, torch.arange(num_images) % 4, num_classes=4)


def test_channel_mean_and_std() -> None:
    image_set = random_set()
    mean, std = image_set.channel_mean_std()
    scaled = image_set.images.double() / 255
    assert mean == pytest.approx(scaled.mean(dim=(0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(scaled.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-12)


def test_constant_channel_has_std_1() -> None:
    black = torch.full((3, 2, 4, 4), 7, dtype=torch.uint8)
    mean, std = ImageSet(black, torch.zeros(3, dtype=torch.int64), 2).channel_mean_std()
    assert mean == pytest.approx((7 / 255, 7 / 255))
    assert std == (1.0, 1.0)


def test_select_and_to() -> None:
    chosen = random_set().select(torch.tensor([7, 2])).to("cpu")
    assert len(chosen) == 2
    assert chosen.labels.tolist() == [3, 2]
    assert torch.equal(chosen.images[1], random_set().images[2])
    assert chosen.image_shape == (3, 5, 4)

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.data.augmentations.crop_flip import CropFlipSettings


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def random_images(batch: int) -> Tensor:
    # From 1, so that a 0 can only be padding.
    return torch.randint(1, 256, (batch, 2, 5, 6), generator=generator(), dtype=torch.uint8)


def all_crops(image: Tensor, padding: int) -> list[Tensor]:
    padded = functional.pad(image, [padding] * 4)
    _, height, width = image.shape
    places = [(top, left) for top in range(2 * padding + 1) for left in range(2 * padding + 1)]
    return [padded[:, top : top + height, left : left + width] for top, left in places]


def test_nothing_asked_nothing_done() -> None:
    images = random_images(3)
    assert CropFlipSettings().build()(images, generator()) is images


def test_crops_are_all_the_places_of_the_padded_image() -> None:
    image = random_images(1)
    images = image.expand(500, -1, -1, -1)
    cropped = CropFlipSettings(crop_padding=1).build()(images, generator())
    assert cropped.dtype == torch.uint8
    found = {tuple(crop.flatten().tolist()) for crop in cropped}
    assert found == {tuple(crop.flatten().tolist()) for crop in all_crops(image[0], 1)}


def test_flips_are_left_and_right_and_half_of_all() -> None:
    images = random_images(1000)
    flipped = CropFlipSettings(flip=True).build()(images, generator())
    kept = (flipped == images).flatten(1).all(dim=1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)
    assert (kept | mirrored).all()
    assert 450 < int(kept.sum()) < 550


def test_crop_and_flip_together_keep_the_input() -> None:
    images = random_images(40)
    original = images.clone()
    result = CropFlipSettings(crop_padding=2, flip=True).build()(images, generator())
    assert torch.equal(images, original)
    for before, after in zip(images, result, strict=True):
        candidates = all_crops(before, 2) + all_crops(before.flip(2), 2)
        assert any(torch.equal(after, candidate) for candidate in candidates)


def test_deep_images_move_as_others_do() -> None:
    images = random_images(20)
    deep = images.to(torch.uint16) * torch.tensor(257, dtype=torch.uint16)
    augment = CropFlipSettings(crop_padding=2, flip=True).build()
    expected = augment(images, generator()).to(torch.int32) * 257
    found = augment(deep, generator())
    assert found.dtype == torch.uint16
    assert torch.equal(found.to(torch.int32), expected)

"""The augmentation of photographs against torchvision, and the statistics of its draws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from tunebox.data.augmentations.photo import (
    PhotoSettings,
    augment_photos,
    coloured,
    draw_maps,
    moved,
)

PLAIN = {"crop_area": None, "flip": False}


def photo(**changes: Any) -> PhotoSettings:
    return PhotoSettings.model_validate({"kind": "photo", **changes})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 6, channels: int = 3, height: int = 10, width: int = 14) -> Tensor:
    return torch.rand((count, channels, height, width), generator=generator(1))


def factors(*values: float) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


ONES, ZEROS = factors(1, 1, 1, 1, 1, 1), factors(0, 0, 0, 0, 0, 0)


def test_nothing_to_do_changes_nothing() -> None:
    images = pictures()
    for channels in (1, 3):
        some = images[:, :channels]
        found = augment_photos(some, photo(**PLAIN), generator())
        torch.testing.assert_close(found, some, atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_those_of_torchvision(channels: int) -> None:
    images = pictures(channels=channels)
    amounts = [0.4, 0.7, 1.0, 1.3, 1.6, 2.0]
    cases = {
        "brightness": (functional.adjust_brightness, (factors(*amounts), ONES, ONES, ZEROS)),
        "contrast": (functional.adjust_contrast, (ONES, factors(*amounts), ONES, ZEROS)),
        "saturation": (functional.adjust_saturation, (ONES, ONES, factors(*amounts), ZEROS)),
    }
    for adjust, arguments in cases.values():
        expected = torch.stack(
            [adjust(image, amount) for image, amount in zip(images, amounts, strict=True)]
        )
        # its grey weighs red by 0.2989, ours by the 0.299 of the standard
        torch.testing.assert_close(coloured(images, *arguments), expected, atol=2e-4, rtol=0)


def test_hue_is_that_of_torchvision() -> None:
    images = pictures()
    images[0, :, 0, 0] = 0.5  # grey
    images[0, :, 0, 1] = torch.tensor([0.7, 0.7, 0.2])  # two largest
    images[0, :, 0, 2] = torch.tensor([0.1, 0.7, 0.7])
    turns = [-0.5, -0.3, 0.0, 0.1, 0.25, 0.5]
    expected = torch.stack(
        [functional.adjust_hue(image, turn) for image, turn in zip(images, turns, strict=True)]
    )
    found = coloured(images, ONES, ONES, ONES, factors(*turns))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_crop_is_that_of_torchvision() -> None:
    """A cut-out on whole pixels that is enlarged: both interpolate between the same pixels."""
    images = pictures(count=1)
    left, top, width, height = 4, 2, 7, 5
    across, down = width / 14, height / 10
    x, y = (2 * left + width) / 14 - 1, (2 * top + height) / 10 - 1
    maps = torch.tensor([[[across, 0.0, x], [0.0, down, y]]])
    expected = functional.resized_crop(images, top, left, height, width, [10, 14], antialias=False)
    inside = (..., slice(2, -2), slice(2, -2))  # at its edge, we see the pixels outside
    torch.testing.assert_close(moved(images, maps)[inside], expected[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_rotations_by_quarters_are_exact(quarter: int) -> None:
    images = pictures(count=1, height=9, width=9)
    maps = rotated(90.0 * quarter)
    expected = torch.rot90(images, quarter, dims=(3, 2))
    found = moved(images, maps)
    either = [torch.rot90(images, sign * quarter, dims=(3, 2)) for sign in (1, -1)]
    assert any(torch.allclose(found, one, atol=1e-5) for one in either), expected


def rotated(degrees: float) -> Tensor:
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    return torch.tensor([[[cos, -sin, 0.0], [sin, cos, 0.0]]])


def test_maps_of_images_that_are_not_square_keep_angles() -> None:
    """In pixels, a rotation alone is orthogonal."""
    images = torch.zeros(200, 1, 10, 30)
    maps = draw_maps(images, photo(**PLAIN, rotation=40), generator())
    to_pixels = torch.diag(torch.tensor([15.0, 5.0]))
    in_pixels = to_pixels @ maps[:, :, :2] @ to_pixels.inverse()
    product = in_pixels @ in_pixels.transpose(1, 2)
    torch.testing.assert_close(product, torch.eye(2).expand(200, 2, 2), atol=1e-5, rtol=0)
    angles = torch.atan2(in_pixels[:, 1, 0], in_pixels[:, 0, 0]).rad2deg()
    assert angles.abs().max() <= 40
    assert angles.min() < -35
    assert angles.max() > 35


def test_crops_have_the_areas_and_ratios_of_the_settings_and_lie_inside() -> None:
    images = torch.zeros(4000, 1, 12, 12)
    settings = photo(flip=False, crop_area=[0.3, 0.5], crop_ratio=[0.8, 1.25])
    maps = draw_maps(images, settings, generator())
    across, down = maps[:, 0, 0], maps[:, 1, 1]
    area, ratio = across * down, across / down
    assert (0.3 - 1e-5 <= area).all()
    assert (area <= 0.5 + 1e-5).all()
    assert area.mean() == pytest.approx(0.4, abs=0.005)
    assert (0.8 - 1e-5 <= ratio).all()
    assert (ratio <= 1.25 + 1e-5).all()
    assert ratio.log().mean() == pytest.approx(0.0, abs=0.01)
    for place, size in ((maps[:, 0, 2], across), (maps[:, 1, 2], down)):
        assert (place.abs() + size <= 1 + 1e-5).all()
        assert (place / (1 - size)).std() == pytest.approx(1 / math.sqrt(3), abs=0.02)


def test_half_of_the_images_are_mirrored() -> None:
    images = pictures(count=1).expand(400, -1, -1, -1)
    found = augment_photos(images, photo(crop_area=None), generator())

    def are(wanted: Tensor) -> Tensor:
        return (found - wanted).abs().amax(dim=(1, 2, 3)) < 1e-5

    is_mirrored, is_same = are(images[0].flip(2)), are(images[0])
    assert (is_mirrored ^ is_same).all()
    assert is_mirrored.float().mean() == pytest.approx(0.5, abs=0.08)


def test_each_image_has_its_own_draw_and_a_seed_repeats_it() -> None:
    images = pictures(count=1).expand(8, -1, -1, -1)
    settings = photo(rotation=20, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    before = images.clone()
    found = augment_photos(images, settings, generator(3))
    assert torch.equal(images, before)
    assert torch.equal(found, augment_photos(images, settings, generator(3)))
    assert not torch.equal(found, augment_photos(images, settings, generator(4)))
    assert len({one.numpy().tobytes() for one in found}) == 8
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(("dtype", "bits"), [(torch.uint8, 8), (torch.uint16, 12)])
def test_integer_images_come_out_in_the_unit_range(dtype: torch.dtype, bits: int) -> None:
    unit = pictures()
    integers = (unit * (2**bits - 1)).round().to(torch.int32).to(dtype)
    found = photo(**PLAIN).build(bits)(integers, generator())
    torch.testing.assert_close(found, unit, atol=1 / (2**bits - 1), rtol=0)


def test_ranges_must_rise() -> None:
    with pytest.raises(
        ValueError, match=r"crop_area: \[0\.5, 0\.2\] must rise: \[least, largest\]"
    ):
        photo(crop_area=[0.5, 0.2])

"""The common corruptions and the camera against other libraries and closed forms."""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage
from torch import Tensor

from tunebox.noise.base import Perturbation
from tunebox.noise.blur import DefocusSettings, MotionSettings
from tunebox.noise.corruptions import COMMON, EXTRA, NAMES, CorruptionName, CorruptionSettings
from tunebox.noise.filters import defocus, enlargement, gaussian_blur, motion, plasma, warp, zoom
from tunebox.noise.gaussian import GaussianSettings
from tunebox.noise.jpeg import compress
from tunebox.noise.one_of import OneOfSettings, apply_one_of
from tunebox.noise.sensor import SensorSettings, squared_distance

Oracle = Callable[[tuple[float, float, float]], tuple[float, float, float]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator(9))


def corrupted(name: CorruptionName, severity: int, given: Tensor, seed: int = 0) -> Tensor:
    settings = CorruptionSettings(kind=name, severity=severity)
    return settings.build()(given, generator(seed))


def smooth(side: int = 32) -> Tensor:
    """A picture with soft structures, as photographs have; ``(4, 3, side, side)``."""
    field = gaussian_blur(torch.randn(4, 3, side, side, generator=generator(4)), 2.0)
    return (0.5 + 0.8 * field).clamp(0, 1)


def test_there_are_15_and_4() -> None:
    assert (len(COMMON), len(EXTRA), len(set(NAMES))) == (15, 4, 19)


@pytest.mark.parametrize("severity", [0, 6])
def test_there_are_five_severities(severity: int) -> None:
    with pytest.raises(ValidationError):
        CorruptionSettings(kind="fog", severity=severity)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"saturate", "elastic_transform"}))
def test_the_highest_severity_changes_more_than_the_lowest(name: CorruptionName) -> None:
    given = smooth()
    low, high = ((corrupted(name, s, given) - given).square().mean().item() for s in (1, 5))
    assert 0 < low < high


# noise


def test_statistics_of_noises() -> None:
    grey = torch.full((1, 1, 600, 600), 0.4)
    assert corrupted("gaussian_noise", 5, grey).std().item() == pytest.approx(0.10, rel=0.01)
    assert corrupted("speckle_noise", 5, grey).std().item() == pytest.approx(0.4 * 0.2, rel=0.01)
    shot = corrupted("shot_noise", 5, grey)
    assert shot.mean().item() == pytest.approx(0.4, abs=1e-3)
    assert shot.var().item() == pytest.approx(0.4 / 50, rel=0.02)  # Poisson
    impulses = corrupted("impulse_noise", 5, grey)
    assert (impulses == 0).double().mean().item() == pytest.approx(0.035, abs=0.002)
    assert (impulses == 1).double().mean().item() == pytest.approx(0.035, abs=0.002)


# colours


def saturated(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb(hue, min(1.0, saturation * 2 + 0.1), value)


def brightened(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + 0.15))


@pytest.mark.parametrize(
    ("name", "severity", "oracle"), [("saturate", 4, saturated), ("brightness", 3, brightened)]
)
def test_colors_are_those_of_the_standard_library(
    name: CorruptionName, severity: int, oracle: Oracle
) -> None:
    given = images(1, 3, 6, 6)
    given[..., 0, 0] = 0.0
    given[..., 0, 1] = 0.3
    result = corrupted(name, severity, given)
    for row in range(6):
        for column in range(6):
            pixel = [float(value) for value in given[0, :, row, column]]
            expected = oracle((pixel[0], pixel[1], pixel[2]))
            assert result[0, :, row, column].tolist() == pytest.approx(expected, abs=1e-6)


def test_images_without_colors_are_not_saturated() -> None:
    given = images(2, 1, 8, 8)
    assert torch.equal(corrupted("saturate", 5, given), given)


def test_contrast_by_hand() -> None:
    given = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 1, 2, 2)
    expected = torch.tensor([0.455, 0.485, 0.515, 0.545]).view(1, 1, 2, 2)
    torch.testing.assert_close(corrupted("contrast", 5, given), expected)


# blurs


def test_normal_blur_is_that_of_scipy() -> None:
    given = images(2, 3, 20, 15)
    for std in (0.4, 1.0, 2.3):
        expected = ndimage.gaussian_filter(
            given.double().numpy(), std, axes=(2, 3), mode="nearest", truncate=4
        )
        np.testing.assert_allclose(gaussian_blur(given, std).numpy(), expected, atol=1e-6)


def test_defocus_is_a_convolution_with_a_softened_disk() -> None:
    given = images(1, 1, 20, 20)
    places = np.arange(-8, 9)
    for radius, softness in ((0.3, 0.4), (1.5, 0.1), (3.2, 0.6)):
        disk = (places[:, None] ** 2 + places[None, :] ** 2 <= radius**2).astype(float)
        edge = np.exp(-0.5 * (np.arange(-1, 2) / softness) ** 2)
        edge /= edge.sum()
        kernel = ndimage.convolve(disk / disk.sum(), np.outer(edge, edge), mode="constant")
        expected = ndimage.convolve(given[0, 0].double().numpy(), kernel, mode="mirror")
        found = defocus(given, radius, softness)[0, 0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_motion_smears_a_point_along_its_line() -> None:
    point = torch.zeros(2, 1, 21, 21)
    point[:, 0, 10, 10] = 1.0
    smeared = motion(point, 2.0, 12.0, torch.tensor([0.0, math.pi / 2]))
    weights = np.exp(-0.5 * (np.arange(9) / 2.0) ** 2)
    expected = weights / weights.sum()
    np.testing.assert_allclose(smeared[0, 0, 10, 2:11].flip(0).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(smeared[1, 0, 2:11, 10].flip(0).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"]
)
@pytest.mark.parametrize("severity", [1, 5])
def test_blurs_leave_a_grey_image_as_it_is(name: CorruptionName, severity: int) -> None:
    grey = torch.full((2, 3, 11, 9), 0.3)
    torch.testing.assert_close(corrupted(name, severity, grey), grey)


def test_zoom_shows_the_middle_larger() -> None:
    ramp = torch.linspace(0, 1, 33).expand(1, 1, 33, 33)
    enlarged = zoom(ramp, 2.0)[0, 0, 16]
    torch.testing.assert_close(enlarged, torch.linspace(0.25, 0.75, 33), atol=1e-6, rtol=0)
    mean = corrupted("zoom_blur", 1, ramp)[0, 0, 16]
    slope = (1 + sum(1 / (1 + n / 100) for n in range(7))) / 8
    torch.testing.assert_close(mean - 0.5, slope * (ramp[0, 0, 16] - 0.5), atol=1e-6, rtol=0)


def test_warp_is_that_of_scipy() -> None:
    given = images(1, 1, 9, 12)
    shift_y, shift_x = (3 * torch.randn(1, 9, 12, generator=generator(s)) for s in (1, 2))
    rows, columns = np.mgrid[0:9, 0:12]
    places = [rows + shift_y[0].numpy(), columns + shift_x[0].numpy()]
    for reflect, mode in ((False, "nearest"), (True, "reflect")):
        expected = ndimage.map_coordinates(given[0, 0].numpy(), places, order=1, mode=mode)
        found = warp(given, shift_y, shift_x, reflect=reflect)[0, 0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_glass_moves_pixels_by_one_at_most() -> None:
    ramp = torch.arange(12.0).view(1, 1, 1, 12).expand(1, 1, 12, 12) / 11
    moved = (corrupted("glass_blur", 1, ramp) - ramp) * 11  # this blur is narrower than a pixel
    assert set(moved.round().flatten().tolist()) == {-1.0, 0.0}


def test_lengths_grow_with_larger_images_alone() -> None:
    assert [enlargement(torch.zeros(1, 1, side, 300)) for side in (8, 32, 64)] == [1, 1, 2]
    small = smooth()
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    shrunk = torch.nn.functional.avg_pool2d(corrupted("gaussian_blur", 5, large), 2)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    expected = corrupted("gaussian_blur", 5, small)
    torch.testing.assert_close(shrunk[inner], expected[inner], atol=0.02, rtol=0)


# weather


def test_plasma_spans_0_to_1_and_is_rougher_with_less_decay() -> None:
    given = torch.zeros(20, 3, 32, 32)
    steps = []
    for decay in (1.75, 3.0):
        land = plasma(given, decay, generator())
        assert land.shape == (20, 1, 32, 32)
        assert land.amin(dim=(1, 2, 3)).tolist() == pytest.approx([0.0] * 20)
        assert land.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1.0] * 20)
        steps.append(land.diff(dim=3).abs().mean().item())
    assert steps[0] > 1.2 * steps[1]


def test_fog_keeps_the_brightest_value_and_lifts_the_dark() -> None:
    black_and_white = torch.zeros(1, 1, 32, 32)
    black_and_white[..., 16:] = 1.0
    fogged = corrupted("fog", 3, black_and_white)
    assert fogged[..., :16].min() >= 0
    assert fogged[..., :16].max().item() <= 0.75 / 1.75 + 1e-6
    assert fogged[..., 16:].min().item() >= 1 / 1.75 - 1e-6


def test_snow_brightens_and_mud_is_brown() -> None:
    dark = torch.full((50, 3, 32, 32), 0.2)
    snowed = corrupted("snow", 4, dark)
    assert (snowed > 0.25).all(dim=1).any()
    assert snowed.min() >= 0.2
    muddy = corrupted("spatter", 5, torch.ones(50, 3, 32, 32))
    red, green, blue = muddy.permute(1, 0, 2, 3)[:, muddy[:, 0] < 0.4].mean(dim=1).tolist()
    assert red > green > blue
    wet = corrupted("spatter", 2, dark)
    drop = wet[:, :, :, :].permute(1, 0, 2, 3)[:, wet[:, 2] > 0.3].mean(dim=1) - 0.2
    assert (drop[0] / drop[2]).item() == pytest.approx(175 / 238, abs=0.02)


def test_elastic_moves_the_image_and_keeps_its_values() -> None:
    given = smooth()
    moved = corrupted("elastic_transform", 3, given)
    assert moved.mean().item() == pytest.approx(given.mean().item(), abs=0.03)
    assert (moved - given).abs().max() > 0.1


# pixelate and JPEG


@pytest.mark.parametrize("side", [8, 28, 32, 61])
@pytest.mark.parametrize(("severity", "share"), [(1, 0.95), (3, 0.85), (5, 0.65)])
def test_pixelate_is_that_of_pillow(side: int, severity: int, share: float) -> None:
    pixels = (images(side, side) * 255).round().byte()
    picture = Image.fromarray(pixels.numpy())
    small = picture.resize((int(side * share),) * 2, Image.Resampling.BOX)
    expected = np.asarray(small.resize((side, side), Image.Resampling.BOX), float)
    given = (pixels.double() / 255)[None, None]
    found = corrupted("pixelate", severity, given)[0, 0].numpy() * 255
    assert np.abs(found - expected).max() < 1.01  # Pillow rounds each pass


def through_pillow(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.float64]:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), float)


@pytest.mark.parametrize("quality", [10, 40, 65, 80, 95])
@pytest.mark.parametrize("side", [8, 28, 32, 45])
def test_jpeg_is_that_of_pillow(side: int, quality: int) -> None:
    pictures = (smooth(side) * 255).round().byte()
    found = compress(pictures.float() / 255, quality) * 255
    # Pillow's transform works in integers: now and then a coefficient is rounded the other way
    colored, grey = [], []
    for given, restored in zip(pictures, found, strict=True):
        expected = through_pillow(given.permute(1, 2, 0).numpy(), quality)
        colored.append(np.abs(restored.permute(1, 2, 0).numpy() - expected).mean())
        alone = compress(given[None, :1].float() / 255, quality)[0, 0].numpy() * 255
        grey.append(np.abs(alone - through_pillow(given[0].numpy(), quality)).mean())
    assert np.mean(colored) < 1
    assert np.mean(grey) < 0.5
    assert min(*colored, *grey) < 0.3  # without such a coefficient


# the camera


def test_sensor_has_the_variance_of_its_parts() -> None:
    light = 0.3
    grey = torch.full((1, 1, 500, 500), light)
    settings = SensorSettings(kind="sensor", full_well=400, read_noise=5, bits=16)
    noisy = settings.build()(grey, generator())
    assert noisy.mean().item() == pytest.approx(light, abs=3e-4)
    assert noisy.var().item() == pytest.approx((light * 400 + 25) / 400**2, rel=0.02)
    rows = SensorSettings(kind="sensor", full_well=1e6, read_noise=0, row_noise=3e4, bits=16)
    striped = rows.build()(grey, generator())[0, 0]
    assert striped.mean(dim=1).std().item() == pytest.approx(0.03, rel=0.1)
    assert striped.std(dim=1).max() < 1e-3


def test_sensor_rounds_to_its_levels() -> None:
    settings = SensorSettings(kind="sensor", bits=2)
    levels = sorted(set(settings.build()(images(2, 3, 16, 16), generator()).flatten().tolist()))
    assert levels == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_hot_pixels_are_white_in_all_channels() -> None:
    settings = SensorSettings(kind="sensor", hot_pixels=0.1, read_noise=0)
    hot = settings.build()(torch.zeros(1, 3, 200, 200), generator()) == 1
    assert hot.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(hot[:, 0], hot[:, 2])


def test_vignetting_takes_light_from_the_corners() -> None:
    distances = squared_distance(torch.zeros(1, 1, 5, 7))
    assert distances[0, 0] == distances[-1, -1] == 1
    assert distances[2, 3].item() == pytest.approx(0, abs=1e-9)
    settings = SensorSettings(kind="sensor", full_well=1e7, read_noise=0, vignetting=0.4, bits=16)
    dimmed = settings.build()(torch.ones(1, 1, 5, 7), generator())[0, 0]
    assert dimmed[2, 3].item() == pytest.approx(1, abs=2e-3)
    assert dimmed[0, 6].item() == pytest.approx(0.6, abs=2e-3)
    single = SensorSettings(kind="sensor", vignetting=1.0).build()
    assert single(torch.ones(1, 1, 1, 1), generator()).item() > 0.8


# blurs with settings of their own, and choices


def test_lens_and_motion_with_settings() -> None:
    given = smooth()
    sharp = DefocusSettings(kind="defocus", radius=0).build()(given, generator())
    blurred = DefocusSettings(kind="defocus", radius=3).build()(given, generator())
    assert blurred.diff(dim=3).abs().mean() < sharp.diff(dim=3).abs().mean()
    level = MotionSettings(kind="motion", length=6, angle=0).build()
    rows = torch.arange(32.0).view(1, 1, 32, 1).expand(1, 1, 32, 32) / 31
    torch.testing.assert_close(level(rows, generator()), rows)  # along the rows


def test_one_of_shares_a_batch_evenly() -> None:
    def add(amount: float) -> Perturbation:
        return lambda images, generator: images + amount

    noises = [add(float(number)) for number in range(3)]
    added = apply_one_of(torch.zeros(10, 1, 2, 2), noises, generator())[:, 0, 0, 0]
    assert sorted(torch.bincount(added.long()).tolist()) == [3, 3, 4]
    single = torch.zeros(1, 1, 2, 2)
    first = {int(apply_one_of(single, noises, generator(seed)).max()) for seed in range(30)}
    assert first == {0, 1, 2}  # a batch smaller than the list has any of them


def test_one_of_is_in_a_search_file_like_a_sequence() -> None:
    noises = [GaussianSettings(kind="gaussian", std=0.1)] * 2
    assert OneOfSettings(kind="one_of", noises=list(noises)).needed_side == 1
    with pytest.raises(ValidationError):
        OneOfSettings(kind="one_of", noises=[])

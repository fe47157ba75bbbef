"""What every perturbation promises, and the reference values of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from tunebox.noise.corruptions import NAMES as CORRUPTIONS
from tunebox.noise.down_up import down_up
from tunebox.noise.gaussian import add_gaussian
from tunebox.noise.patch_mask import mask_patches
from tunebox.noise.settings import NoiseSettings
from tunebox.noise.uniform import add_uniform

NOISES: dict[str, dict[str, Any]] = {
    "gaussian": {"kind": "gaussian", "std": 0.1},
    "gaussian_unclamped": {"kind": "gaussian", "std": 0.1, "clamp": False},
    "uniform": {"kind": "uniform", "epsilon": 0.1},
    "uniform_unclamped": {"kind": "uniform", "epsilon": 0.1, "clamp": False},
    "patch_mask": {"kind": "patch_mask", "size": 3, "count": 2},
    "down_up": {"kind": "down_up", "scale": 0.5},
    "sequence": {
        "kind": "sequence",
        "steps": [
            {"kind": "gaussian", "std": 0.1},
            {"kind": "patch_mask", "size": 3, "count": 2},
        ],
    },
    "jpeg": {"kind": "jpeg", "quality": 30},
    "defocus": {"kind": "defocus", "radius": 1.5},
    "motion": {"kind": "motion", "length": 4},
    "sensor": {
        "kind": "sensor",
        "full_well": 200,
        "row_noise": 5,
        "hot_pixels": 0.05,
        "vignetting": 0.5,
    },
    "one_of": {
        "kind": "one_of",
        "noises": [{"kind": "gaussian", "std": 0.1}, {"kind": "fog", "severity": 3}],
    },
    **{
        f"{name}_{severity}": {"kind": name, "severity": severity}
        for name in CORRUPTIONS
        for severity in (1, 5)
    },
}
NOT_RANDOM = (
    *("down_up", "jpeg", "defocus", "zoom", "pixelate", "brightness", "contrast", "saturate"),
    "gaussian_blur",
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def settings_of(name: str) -> NoiseSettings:
    adapter: TypeAdapter[NoiseSettings] = TypeAdapter(NoiseSettings)
    return adapter.validate_python(NOISES[name])


def images(batch: int = 5, channels: int = 3) -> Tensor:
    return torch.rand(batch, channels, 8, 10, generator=generator(1))


@pytest.mark.parametrize("name", sorted(NOISES))
def test_input_is_kept_and_the_seed_decides(name: str) -> None:
    perturb = settings_of(name).build()
    original = images()
    given = original.clone()
    noisy = perturb(given, generator())
    assert torch.equal(given, original)
    assert noisy.shape == given.shape
    assert noisy.dtype == given.dtype
    assert not torch.equal(noisy, given)
    assert torch.equal(perturb(given, generator()), noisy)
    if not name.startswith(NOT_RANDOM):
        assert not torch.equal(perturb(given, generator(7)), noisy)


@pytest.mark.parametrize("name", sorted(NOISES))
def test_range_is_kept_unless_told_otherwise(name: str) -> None:
    noisy = settings_of(name).build()(images().round(), generator())
    inside = bool(noisy.min() >= 0 and noisy.max() <= 1)
    assert inside == (not name.endswith("unclamped"))


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 1, 28, 28), (2, 4, 9, 5), (1, 3, 70, 64)])
def test_any_image_is_taken(shape: tuple[int, ...]) -> None:
    given = torch.rand(shape, generator=generator(1))
    for name in NOISES:
        if not name.endswith("unclamped"):
            noisy = settings_of(name).build()(given, generator(2))
            assert noisy.shape == given.shape
            assert bool(noisy.isfinite().all()), name
            assert noisy.min() >= 0, name
            assert noisy.max() <= 1, name


def test_every_kind_is_in_the_table() -> None:
    assert {noise["kind"] for noise in NOISES.values()} == set(NoiseSettings.kinds())


@pytest.mark.parametrize("name", sorted(NOISES))
def test_global_generator_is_not_touched(name: str) -> None:
    before = torch.get_rng_state()
    settings_of(name).build()(images(), generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_gaussian_statistics_in_the_middle_and_at_the_end_of_the_range() -> None:
    grey = add_gaussian(torch.full((1, 1, 1000, 1000), 0.5), 0.06, True, generator())
    assert grey.mean().item() == pytest.approx(0.5, abs=3e-4)
    assert grey.std().item() == pytest.approx(0.06, abs=3e-4)
    # A clamped normal at 0: mean std / sqrt(2 pi), variance std^2 (1/2 - 1/(2 pi)).
    black = add_gaussian(torch.zeros(1, 1, 1000, 1000), 0.06, True, generator())
    assert black.mean().item() == pytest.approx(0.0239365, abs=2e-4)
    assert black.std().item() == pytest.approx(0.0350292, abs=2e-4)


def test_uniform_statistics() -> None:
    noise = add_uniform(torch.full((1, 1, 1000, 1000), 0.5), 0.06, False, generator()) - 0.5
    assert noise.abs().max().item() <= 0.06 + 1e-6
    assert noise.mean().item() == pytest.approx(0, abs=2e-4)
    assert noise.std().item() == pytest.approx(0.06 / 3**0.5, abs=2e-4)


def test_patches_are_black_squares_in_all_channels() -> None:
    masked = mask_patches(torch.ones(200, 2, 6, 7), 3, 1, generator())
    assert torch.equal(masked[:, 0], masked[:, 1])
    black = masked[:, 0] == 0
    assert (black.sum(dim=(1, 2)) == 9).all()
    assert (black.any(dim=2).sum(dim=1) == 3).all()  # 3 rows and 3 columns, so a square
    assert (black.any(dim=1).sum(dim=1) == 3).all()
    tops = black.any(dim=2).float().argmax(dim=1)
    lefts = black.any(dim=1).float().argmax(dim=1)
    assert set(tops.tolist()) == {0, 1, 2, 3}  # every place occurs, the last one too
    assert set(lefts.tolist()) == {0, 1, 2, 3, 4}


def test_patches_may_overlap() -> None:
    masked = mask_patches(torch.ones(300, 1, 8, 8), 4, 2, generator())
    areas = set((masked == 0).sum(dim=(1, 2, 3)).tolist())
    assert max(areas) == 32
    assert min(areas) < 32


def test_patch_as_large_as_the_image_blackens_it() -> None:
    assert not mask_patches(torch.ones(2, 1, 4, 4), 4, 1, generator()).any()


def test_patch_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size is 5, .* have 8x4 pixels; .* at most 4"):
        mask_patches(torch.ones(2, 1, 8, 4), 5, 1, generator())


def test_down_up_reference() -> None:
    small = torch.tensor(
        [[0, 0.25, 0.5, 0.75], [1, 0.5, 0.25, 0], [0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]]
    ).view(1, 1, 4, 4)
    half = [
        [0.4375, 0.421875, 0.390625, 0.375],
        [0.453125, 0.441406, 0.417969, 0.40625],
        [0.484375, 0.480469, 0.472656, 0.46875],
        [0.5, 0.5, 0.5, 0.5],
    ]
    torch.testing.assert_close(down_up(small, 0.5)[0, 0], torch.tensor(half), atol=1e-6, rtol=0)
    third = down_up(small, 1 / 3)
    torch.testing.assert_close(third, torch.full_like(third, 0.3125))


def test_down_up_of_a_ramp() -> None:
    ramp = (torch.arange(1024) / 1023).view(1, 1, 32, 32)
    result = down_up(ramp, 1 / 3)  # 32 / 3 is rounded down to 10
    expected = torch.tensor([0.035484, 0.035484, 0.036364, 0.037341])
    torch.testing.assert_close(result[0, 0, 0, :4], expected, atol=1e-6, rtol=0)
    assert result.sum().item() == pytest.approx(512.0, abs=1e-2)


def test_sequence_applies_the_first_step_first() -> None:
    masked_last = settings_of("sequence").build()(images(), generator())
    stream = generator()
    noisy = add_gaussian(images(), 0.1, True, stream)
    assert torch.equal(masked_last, mask_patches(noisy, 3, 2, stream))

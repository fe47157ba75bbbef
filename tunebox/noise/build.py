"""From the settings of a noise to the function that makes it."""

import torch
from torch import Tensor

from tunebox.noise.base import Perturbation
from tunebox.noise.down_up import down_up
from tunebox.noise.gaussian import add_gaussian
from tunebox.noise.patch_mask import mask_patches
from tunebox.noise.sequence import apply_in_order
from tunebox.noise.settings import (
    DownUpSettings,
    GaussianSettings,
    NoiseSettings,
    PatchMaskSettings,
    UniformSettings,
)
from tunebox.noise.uniform import add_uniform


def build_noise(settings: NoiseSettings) -> Perturbation:
    """Return the perturbation that ``settings`` describe."""
    if isinstance(settings, GaussianSettings):
        return _gaussian(settings)
    if isinstance(settings, UniformSettings):
        return _uniform(settings)
    if isinstance(settings, PatchMaskSettings):
        return _patch_mask(settings)
    if isinstance(settings, DownUpSettings):
        return _down_up(settings)
    steps = [build_noise(step) for step in settings.steps]
    return lambda images, generator: apply_in_order(images, steps, generator)


def _gaussian(settings: GaussianSettings) -> Perturbation:
    return lambda images, generator: add_gaussian(images, settings.std, settings.clamp, generator)


def _uniform(settings: UniformSettings) -> Perturbation:
    return lambda images, generator: add_uniform(
        images, settings.epsilon, settings.clamp, generator
    )


def _patch_mask(settings: PatchMaskSettings) -> Perturbation:
    return lambda images, generator: mask_patches(images, settings.size, settings.count, generator)


def _down_up(settings: DownUpSettings) -> Perturbation:
    def perturb(images: Tensor, generator: torch.Generator) -> Tensor:
        return down_up(images, settings.scale)  # nothing here is random

    return perturb

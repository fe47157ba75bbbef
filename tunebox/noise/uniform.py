"""Uniform noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.noise.settings import NoiseLevel, NoiseSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class UniformSettings(NoiseSettings):
    """Independent uniform noise in (-epsilon, epsilon) on every pixel."""

    kind: Literal["uniform"]
    epsilon: NoiseLevel
    clamp: bool = True  # cut to [0, 1] afterwards

    def build(self) -> Perturbation:
        """Return the noise as a function."""
        return lambda images, generator: add_uniform(images, self.epsilon, self.clamp, generator)


def add_uniform(images: Tensor, epsilon: float, clamp: bool, generator: torch.Generator) -> Tensor:
    """Return images with independent uniform noise on every value.

    Args:
        images: ``(B, C, H, W)``, float, in [0, 1].
        epsilon: The noise lies in ``[-epsilon, epsilon)``, in units of the pixel range, >= 0.
        clamp: Whether the result is cut to [0, 1].
        generator: On the device of the images.
    """
    import torch

    noise = torch.rand(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    noisy = noise.sub_(0.5).mul_(2 * epsilon).add_(images)
    return noisy.clamp_(0, 1) if clamp else noisy

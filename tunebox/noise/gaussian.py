"""Normal noise, the training noise of [Nguyen2025].

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.noise.settings import NoiseLevel, NoiseSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class GaussianSettings(NoiseSettings):
    """Independent normal noise on every pixel."""

    kind: Literal["gaussian"]
    std: NoiseLevel  # in units of the pixel range [0, 1]
    clamp: bool = True  # cut to [0, 1] afterwards

    def build(self) -> Perturbation:
        """Return the noise as a function."""
        return lambda images, generator: add_gaussian(images, self.std, self.clamp, generator)


def add_gaussian(images: Tensor, std: float, clamp: bool, generator: torch.Generator) -> Tensor:
    """Return images with independent normal noise on every value.

    With ``clamp`` the noise is no longer normal near 0 and 1: at a black pixel its mean is
    ``0.4 * std``.

    Args:
        images: ``(B, C, H, W)``, float, in [0, 1].
        std: Standard deviation before the clamp, in units of the pixel range, >= 0.
        clamp: Whether the result is cut to [0, 1].
        generator: On the device of the images.
    """
    import torch

    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    noisy = noise.mul_(std).add_(images)
    return noisy.clamp_(0, 1) if clamp else noisy

"""Uniform noise."""

import torch
from torch import Tensor


def add_uniform(images: Tensor, epsilon: float, clamp: bool, generator: torch.Generator) -> Tensor:
    """Return images with independent uniform noise on every value.

    Args:
        images: ``(B, C, H, W)``, float, in [0, 1].
        epsilon: The noise lies in ``[-epsilon, epsilon)``, in units of the pixel range, >= 0.
        clamp: Whether the result is cut to [0, 1].
        generator: On the device of the images.
    """
    noise = torch.rand(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    noisy = noise.sub_(0.5).mul_(2 * epsilon).add_(images)
    return noisy.clamp_(0, 1) if clamp else noisy

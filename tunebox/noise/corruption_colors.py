"""Corruptions that change each pixel on its own; `tunebox.noise.corruptions` has the strengths.

Each takes images ``(B, C, H, W)`` in [0, 1], a strength and a generator, and returns new images,
which may leave [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunebox.noise.filters import normal_like, uniform_like

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def gaussian_noise(images: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Return images with normal noise of ``std``."""
    return images + std * normal_like(images, generator)(images.shape)


def shot_noise(images: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """Return images as counted in ``photons`` for white: Poisson noise."""
    import torch

    return torch.poisson(images.clamp_min(0) * photons, generator=generator) / photons


def impulse_noise(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return images of which a ``share`` of the values is 0 or 1, half of them each."""
    drawn = uniform_like(images, generator)(images.shape)
    return images.masked_fill(drawn < share / 2, 0.0).masked_fill(drawn >= 1 - share / 2, 1.0)


def speckle_noise(images: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Return images with normal noise of ``std`` times the value of the pixel."""
    return images + images * std * normal_like(images, generator)(images.shape)


def contrast(images: Tensor, factor: float, generator: torch.Generator) -> Tensor:
    """Return images whose distance from the mean of each channel is ``factor`` times as large."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * factor + mean


def brightness(images: Tensor, change: float, generator: torch.Generator) -> Tensor:
    """Return images whose largest channel is ``change`` higher, at the same hue and saturation."""
    import torch

    value = images.amax(dim=1, keepdim=True)
    brighter = (value + change).clamp(0, 1)
    return torch.where(value > 0, images * (brighter / value.clamp_min(1e-12)), brighter)


def saturate(images: Tensor, strength: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return images whose saturation is ``factor`` times as large, plus a change.

    Images without three channels have no colours and stay as they are. Grey has the hue of red, as
    in the published corruption.

    Args:
        images: Not changed.
        strength: Factor and change.
        generator: Not used.
    """
    import torch

    if images.shape[1] != 3:
        return images
    factor, change = strength
    value = images.amax(dim=1, keepdim=True)
    range_ = value - images.amin(dim=1, keepdim=True)
    saturation = range_ / value.clamp_min(1e-12)
    wanted = (saturation * factor + change).clamp(0, 1)
    colored = value - (value - images) * (wanted / saturation.clamp_min(1e-12))
    is_red = torch.tensor([1.0, 0.0, 0.0], dtype=images.dtype, device=images.device)
    red = value * (1 - wanted * (1 - is_red.view(1, 3, 1, 1)))
    return torch.where(range_ > 0, colored, red)

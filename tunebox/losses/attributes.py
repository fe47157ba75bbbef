"""Changes of images by a few attributes, through which a gradient flows.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SMALLEST_VARIANCE = 1e-6  # of a blur, in squared pixels: with it a kernel is one pixel
_RADIUS = 2.5  # of a kernel, in standard deviations of the widest blur


@dataclass(frozen=True)
class Attributes:
    """How far an image is changed where an attribute is 1; at 0 it stays.

    Attributes:
        blur: Standard deviation of a Gaussian blur, in pixels.
        contrast: Share of the distance from the mean of the image that is taken away.
        brightness: Added to all pixels.
        noise: Standard deviation of normal noise.
    """

    blur: float
    contrast: float
    brightness: float
    noise: float

    def change(self, images: Tensor, attributes: Tensor, noise: Tensor) -> Tensor:
        """Return the changed images, ``(B, C, H, W)``, in [0, 1].

        Args:
            images: ``(B, C, H, W)``, in [0, 1].
            attributes: ``(B, 4)``, in [0, 1]: blur, contrast, brightness and noise.
            noise: Standard normal values of the shape of ``images``.
        """
        blur, contrast, brightness, level = attributes.view(-1, 4, 1, 1, 1).unbind(1)
        changed = blurred(images, self.blur * blur, self.blur) if self.blur else images
        mean = changed.mean(dim=(1, 2, 3), keepdim=True)
        changed = mean + (1 - self.contrast * contrast) * (changed - mean)
        changed = changed + self.brightness * brightness + self.noise * level * noise
        return changed.clamp(0, 1)


def blurred(images: Tensor, stds: Tensor, widest: float) -> Tensor:
    """Return images after a Gaussian blur, each with its own width; the edges are repeated.

    Args:
        images: ``(B, C, H, W)``.
        stds: ``(B, 1, 1, 1)``, standard deviations in pixels, up to ``widest``.
        widest: Sets the size of the kernel, which is cut after 2.5 of it.
    """
    radius = max(1, int(_RADIUS * widest + 0.5))
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    variances = stds.view(-1, 1).square() + _SMALLEST_VARIANCE
    kernels = torch.softmax(-places.square() / (2 * variances), dim=1)  # (B, 2 radius + 1)
    # Products of matrices: a convolution with a kernel for each image is many times slower.
    rows, columns = (_blur_matrices(kernels, side, radius) for side in images.shape[2:])
    return rows.unsqueeze(1) @ images @ columns.unsqueeze(1).transpose(2, 3)


def _blur_matrices(kernels: Tensor, side: int, radius: int) -> Tensor:
    """Return the matrix ``(B, side, side)`` of each image that blurs along an axis."""
    pixels = torch.arange(side, device=kernels.device)
    moves = torch.arange(-radius, radius + 1, device=kernels.device)
    seen = (pixels.unsqueeze(1) + moves).clamp(0, side - 1)  # (side, 2 radius + 1)
    places = (seen.unsqueeze(2) == pixels).to(kernels.dtype)  # (side, 2 radius + 1, side)
    return torch.einsum("bk,ikj->bij", kernels, places)

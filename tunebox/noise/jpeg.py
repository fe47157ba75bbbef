"""Loss by JPEG compression, on the device of the images and for all of them at once.

The numbers are those of the standard (ITU-T T.81, annex K) and of libjpeg: its scaling of the
tables with the quality, colours at half the resolution, and their linear interpolation. What
follows the quantisation in a file loses nothing, so it is left out.

Shapes: B images ``(B, C, H, W)`` in [0, 1].
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.noise.base import Perturbation

_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *([99] * 32),
)
_TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


class JpegSettings(NoiseSettings):
    """JPEG compression; images of 3 channels lose colour first, of others each channel is grey."""

    kind: Literal["jpeg"]
    quality: int = Field(ge=1, le=100)  # of libjpeg: 95 is good, 10 is poor

    def build(self) -> Perturbation:
        """Return the noise as a function; nothing of it is random."""
        return lambda images, generator: compress(images, self.quality)


def compress(images: Tensor, quality: int) -> Tensor:
    """Return images as they are after compression with ``quality``, in 256 levels.

    Args:
        images: Not changed.
        quality: 1 to 100.
    """
    import torch

    height, width = images.shape[-2:]
    levels = (images.clamp(0, 1) * 255).round()
    if images.shape[1] != 3:
        restored = _quantised(levels, _LUMA, quality)
        return (restored[..., :height, :width] / 255).to(images.dtype)
    to_ycbcr = torch.tensor(_TO_YCBCR, dtype=levels.dtype, device=levels.device)
    colours = torch.einsum("ij,bjhw->bihw", to_ycbcr, levels)
    colours[:, 1:] += 128
    colours = colours.round()
    luma = _quantised(colours[:, :1], _LUMA, quality)[..., :height, :width]
    chroma = _enlarged(_quantised(_halved(colours[:, 1:]), _CHROMA, quality), height, width) - 128
    to_rgb = torch.tensor(_TO_RGB, dtype=levels.dtype, device=levels.device)
    restored = torch.einsum("ij,bjhw->bihw", to_rgb, torch.cat([luma, chroma], dim=1))
    return (restored.round().clamp(0, 255) / 255).to(images.dtype)


def _halved(levels: Tensor) -> Tensor:
    """Return the means of 2x2 pixels; their rounding alternates, as in libjpeg."""
    import torch

    padded = _padded(levels, 2, 16)
    sums = 4 * torch.nn.functional.avg_pool2d(padded, 2)
    bias = 1 + torch.arange(sums.shape[3], device=levels.device) % 2
    return ((sums + bias) / 4).floor()


def _enlarged(half: Tensor, height: int, width: int) -> Tensor:
    """Return ``half`` interpolated to twice the size, ``(B, 2, height, width)``."""
    import torch

    inside = half[..., : math.ceil(height / 2), : math.ceil(width / 2)]  # without the padding
    double = torch.nn.functional.interpolate(
        inside, scale_factor=2, mode="bilinear", align_corners=False
    )
    bias = 8 - torch.arange(double.shape[3], device=half.device) % 2  # rounds as libjpeg does
    return ((16 * double + bias) / 16).floor()[..., :height, :width]


def _quantised(levels: Tensor, table: tuple[int, ...], quality: int) -> Tensor:
    """Return levels 0 to 255 after the quantisation of their blocks, padded to whole blocks."""
    import torch

    padded = _padded(levels, 8, 8)
    batch, channels, height, width = padded.shape
    blocks = padded.view(batch, channels, height // 8, 8, width // 8, 8) - 128
    cosines = _cosines().to(padded)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = torch.tensor(table).mul(scale).add(50).div(100, rounding_mode="floor").clamp(1, 255)
    steps = steps.view(8, 1, 8).to(padded)
    waves = torch.einsum("ui,bchiwj,vj->bchuwv", cosines, blocks, cosines)
    # a half is rounded away from 0; those of integers are computed a little too small at times
    waves = waves.sign() * ((waves / steps).abs() + 0.5 + 1e-4).floor() * steps
    restored = torch.einsum("ui,bchuwv,vj->bchiwj", cosines, waves, cosines)
    return (restored + 128).round().clamp(0, 255).reshape(padded.shape)


def _cosines() -> Tensor:
    """Return the matrix of the discrete cosine transform, ``(8, 8)``, with rows of length 1."""
    import torch

    places = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos((2 * places[None, :] + 1) * places[:, None] * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def _padded(levels: Tensor, rows: int, columns: int) -> Tensor:
    """Return levels whose last row and column are repeated to multiples of two numbers."""
    from torch.nn import functional

    height, width = levels.shape[-2:]
    return functional.pad(levels, (0, -width % columns, 0, -height % rows), mode="replicate")

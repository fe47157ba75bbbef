"""Black squares at random places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.settings import NoiseSettings
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class PatchMaskSettings(NoiseSettings):
    """Squares set to 0 in all channels, at uniform places; they may overlap."""

    kind: Literal["patch_mask"]
    size: int = Field(ge=1, le=MOST_PIXELS)  # side in pixels
    count: int = Field(ge=1, le=10_000)

    @property
    def needed_side(self) -> int:
        """The shorter side in pixels that an image must have at least."""
        return self.size

    def build(self) -> Perturbation:
        """Return the noise as a function."""
        return lambda images, generator: mask_patches(images, self.size, self.count, generator)


def mask_patches(images: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return images with ``count`` squares set to 0 in all channels.

    Each square lies wholly inside the image, at a uniform place; squares may overlap.

    Args:
        images: ``(B, C, H, W)``, float; not changed.
        size: Side of the squares in pixels.
        count: Squares for each image.
        generator: On the device of the images.

    Raises:
        ValueError: A square is larger than the image.
    """
    import torch

    batch, _, height, width = images.shape
    if size > min(height, width):
        raise ValueError(
            f"patch_mask: size is {size}, but the images have {height}x{width} pixels; "
            f"size must be at most {min(height, width)}"
        )
    rows = _covered(height, size, (batch, count), images, generator)
    columns = _covered(width, size, (batch, count), images, generator)
    # A pixel is black if any square covers both its row and its column: (B, H, W).
    black = torch.bmm(rows.transpose(1, 2), columns) > 0
    return images.masked_fill(black.unsqueeze(1), 0)


def _covered(
    length: int, size: int, shape: tuple[int, int], like: Tensor, generator: torch.Generator
) -> Tensor:
    """Return 1 where a square lies and 0 elsewhere along one side, ``(B, count, length)``."""
    import torch

    first = torch.randint(length - size + 1, shape, generator=generator, device=like.device)
    distance = torch.arange(length, device=like.device) - first.unsqueeze(-1)
    return ((distance >= 0) & (distance < size)).to(like.dtype)

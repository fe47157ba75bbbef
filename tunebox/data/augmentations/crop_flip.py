"""Random crops and flips of a whole batch at once.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.data.settings import Augmentation, AugmentationSettings
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class CropFlipSettings(AugmentationSettings):
    """Random crops and flips of the training images, before the noise."""

    kind: Literal["crop_flip"] = "crop_flip"
    crop_padding: int = Field(
        0, ge=0, le=MOST_PIXELS
    )  # pixels of zeros at each side before a random crop
    flip: bool = False  # mirror left and right with probability 1/2

    def build(self, bits: int = 8) -> Augmentation:
        """Return the augmentation as a function, the same for all depths."""
        return lambda images, generator: crop_and_flip(
            images, self.crop_padding, self.flip, generator
        )


def crop_and_flip(
    images: Tensor, crop_padding: int, flip: bool, generator: torch.Generator
) -> Tensor:
    """Return each image cut out of its zero-padded self at a random place, mirrored or not.

    Args:
        images: ``(B, C, H, W)``, any dtype; not changed.
        crop_padding: Pixels of zeros at each side before a random crop.
        flip: Whether images are mirrored left and right with probability 1/2. Without padding and
            flips the input itself comes back.
        generator: On the device of the images.

    Returns:
        ``(B, C, H, W)`` in the dtype of ``images``.
    """
    if crop_padding == 0 and not flip:
        return images
    import torch

    if images.dtype == torch.uint16:  # which not all devices pad and index
        moved = crop_and_flip(images.view(torch.int16), crop_padding, flip, generator)
        return moved.view(torch.uint16)
    from torch.nn import functional

    batch, _, height, width = images.shape
    device = images.device

    def offsets() -> Tensor:
        return torch.randint(2 * crop_padding + 1, (batch, 1), generator=generator, device=device)

    rows = torch.arange(height, device=device).expand(batch, height)
    columns = torch.arange(width, device=device).expand(batch, width)
    if flip:
        mirrored = torch.rand((batch, 1), generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if crop_padding > 0:
        images = functional.pad(images, [crop_padding] * 4)
        rows, columns = rows + offsets(), columns + offsets()
    # One gather does crop and flip; its result (B, H, W, C) is in channels-last order.
    numbers = torch.arange(batch, device=device)[:, None, None]
    return images.permute(0, 2, 3, 1)[numbers, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )

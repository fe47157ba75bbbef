"""Random crops and flips of a whole batch at once.

Shapes: B images, C channels, H x W pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.data.settings import AugmentationSettings


def augment(images: Tensor, settings: AugmentationSettings, generator: torch.Generator) -> Tensor:
    """Return each image cut out of its zero-padded self at a random place, mirrored or not.

    Args:
        images: ``(B, C, H, W)``, any dtype; not changed.
        settings: Without padding and flips the input itself comes back.
        generator: On the device of the images.

    Returns:
        ``(B, C, H, W)`` in the dtype of ``images``.
    """
    padding = settings.crop_padding
    if padding == 0 and not settings.flip:
        return images
    batch, _, height, width = images.shape
    device = images.device

    def offsets() -> Tensor:
        return torch.randint(2 * padding + 1, (batch, 1), generator=generator, device=device)

    rows = torch.arange(height, device=device).expand(batch, height)
    columns = torch.arange(width, device=device).expand(batch, width)
    if settings.flip:
        mirrored = torch.rand((batch, 1), generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if padding > 0:
        images = functional.pad(images, [padding] * 4)
        rows, columns = rows + offsets(), columns + offsets()
    # One gather does crop and flip; its result (B, H, W, C) is in channels-last order.
    numbers = torch.arange(batch, device=device)[:, None, None]
    return images.permute(0, 2, 3, 1)[numbers, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )

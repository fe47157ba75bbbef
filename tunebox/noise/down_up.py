"""Loss of resolution: down and up again."""

from torch import Tensor
from torch.nn import functional


def down_up(images: Tensor, scale: float) -> Tensor:
    """Return images reduced to ``scale`` of their sides and enlarged again, both bilinear.

    The reduced sides are rounded down, to 1 pixel at least. No smoothing before the reduction.

    Args:
        images: ``(B, C, H, W)``, float; not changed.
        scale: In (0, 1].
    """
    height, width = images.shape[-2:]
    small = (max(1, int(scale * height)), max(1, int(scale * width)))
    reduced = functional.interpolate(images, size=small, mode="bilinear", align_corners=False)
    return functional.interpolate(
        reduced, size=(height, width), mode="bilinear", align_corners=False
    )

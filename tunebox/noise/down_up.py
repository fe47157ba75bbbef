"""Loss of resolution: down and up again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class DownUpSettings(NoiseSettings):
    """Bilinear reduction to ``scale`` of the side and back."""

    kind: Literal["down_up"]
    scale: float = Field(gt=0, le=1)

    def build(self) -> Perturbation:
        """Return the noise as a function; nothing of it is random."""
        return lambda images, generator: down_up(images, self.scale)


def down_up(images: Tensor, scale: float) -> Tensor:
    """Return images reduced to ``scale`` of their sides and enlarged again, both bilinear.

    The reduced sides are rounded down, to 1 pixel at least. No smoothing before the reduction.

    Args:
        images: ``(B, C, H, W)``, float; not changed.
        scale: In (0, 1].
    """
    from torch.nn import functional

    height, width = images.shape[-2:]
    small = (max(1, int(scale * height)), max(1, int(scale * width)))
    reduced = functional.interpolate(images, size=small, mode="bilinear", align_corners=False)
    return functional.interpolate(
        reduced, size=(height, width), mode="bilinear", align_corners=False
    )

"""ConvMixer: a patch embedding, then depthwise and 1x1 convolutions at a fixed resolution.

[Trockman2023] A. Trockman and J. Z. Kolter. Patches are all you need? TMLR 2023.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.models.settings import Depth, ImageShape, ModelSettings, Network, Width
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    from torch import nn


class ConvMixerSettings(ModelSettings):
    """ConvMixer-dim/depth [Trockman2023]; the defaults are those of the paper for CIFAR-10."""

    kind: Literal["conv_mixer"]
    dim: Width = 256  # channels of all layers, and length of the feature
    depth: Depth = 8
    kernel_size: int = Field(5, ge=1, le=MOST_PIXELS)
    patch_size: int = Field(2, ge=1, le=MOST_PIXELS)

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        if min(shape.height, shape.width) < self.patch_size:
            raise ValueError(
                f"conv_mixer needs images of at least patch_size {self.patch_size}, "
                f"got {shape.height}x{shape.width} pixels"
            )
        backbone = conv_mixer_backbone(
            shape.channels, self.dim, self.depth, self.kernel_size, self.patch_size
        )
        return Network(backbone, nn.Linear(self.dim, shape.num_classes))


def conv_mixer_backbone(
    channels: int, dim: int, depth: int, kernel_size: int, patch_size: int
) -> nn.Sequential:
    """Return the network of [Trockman2023], which maps ``(B, channels, H, W)`` to ``(B, dim)``."""
    from torch import nn

    from tunebox.models.layers import MixerBlock

    return nn.Sequential(
        nn.Conv2d(channels, dim, patch_size, patch_size),
        nn.GELU(),
        nn.BatchNorm2d(dim),
        *(MixerBlock(dim, kernel_size) for _ in range(depth)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )

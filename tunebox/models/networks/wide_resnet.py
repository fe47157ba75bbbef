"""Wide residual networks for small images.

[Zagoruyko2016] S. Zagoruyko and N. Komodakis. Wide residual networks. BMVC 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from tunebox.models.settings import ImageShape, ModelSettings, Network

if TYPE_CHECKING:
    from torch import nn


class WideResNetSettings(ModelSettings):
    """WRN-depth-widen_factor [Zagoruyko2016]; the feature values are non-negative."""

    kind: Literal["wide_resnet"]
    depth: int = Field(28, ge=10, le=1000)  # 6 n + 4 for an integer n
    widen_factor: int = Field(10, ge=1, le=1000)
    drop_rate: float = Field(0.0, ge=0, lt=1)  # between the two convolutions of a block

    @field_validator("depth")
    @classmethod
    def _depth_is_of_whole_blocks(cls, depth: int) -> int:
        if depth % 6 != 4:
            near = depth - (depth - 4) % 6
            raise ValueError(f"must be 6 n + 4, such as {near} or {near + 6}")
        return depth

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        backbone = wide_resnet_backbone(
            shape.channels, (self.depth - 4) // 6, self.widen_factor, self.drop_rate
        )
        return Network(backbone, nn.Linear(64 * self.widen_factor, shape.num_classes))


def wide_resnet_backbone(
    channels: int, num_blocks: int, widen_factor: int, drop_rate: float
) -> nn.Sequential:
    """Return the network of [Zagoruyko2016], which maps ``(B, channels, H, W)`` to features.

    A 3x3 convolution, three stages of ``num_blocks`` blocks, of which the last two each halve the
    resolution, and a mean over the image: ``(B, 64 * widen_factor)``.
    """
    from torch import nn

    from tunebox.models.layers import PreActBlock

    layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1, bias=False)]
    num_inputs = 16
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        num_outputs = width * widen_factor
        for block in range(num_blocks):
            first = stride if block == 0 else 1
            layers.append(PreActBlock(num_inputs, num_outputs, first, drop_rate))
            num_inputs = num_outputs
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(num_inputs),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )

"""A small convolutional network for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.models.settings import ImageShape, ModelSettings, Network, Width

if TYPE_CHECKING:
    from torch import nn


class SmallConvSettings(ModelSettings):
    """Two 3x3 convolutions with batch norm, ReLU and pooling, and a linear feature layer."""

    kind: Literal["small_conv"]
    width: Width = 16  # channels of the first convolution; the second has twice as many
    feature_dim: Width = 64

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        backbone = small_conv_backbone(
            shape.channels, shape.height, shape.width, self.width, self.feature_dim
        )
        return Network(backbone, nn.Linear(self.feature_dim, shape.num_classes))


def small_conv_backbone(
    channels: int, height: int, width: int, num_filters: int, feature_dim: int
) -> nn.Sequential:
    """Return two blocks of convolution, batch norm, ReLU and pooling, and a linear feature layer.

    Maps images ``(B, channels, height, width)`` to ``(B, feature_dim)``.

    Args:
        channels: Number of channels of the images.
        height: In pixels, at least 4.
        width: In pixels, at least 4.
        num_filters: Channels of the first convolution; the second has twice as many.
        feature_dim: Length of the feature.

    Raises:
        ValueError: The images are too small for two poolings.
    """
    from torch import nn

    if min(height, width) < 4:
        raise ValueError(
            f"small_conv needs images of at least 4x4 pixels, got {height}x{width}: use mlp"
        )
    return nn.Sequential(
        *_block(channels, num_filters),
        *_block(num_filters, 2 * num_filters),
        nn.Flatten(),
        nn.Linear(2 * num_filters * (height // 4) * (width // 4), feature_dim),
    )


def _block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
    from torch import nn

    return [
        # Batch norm subtracts the mean, so a bias of the convolution would have no effect.
        nn.Conv2d(num_inputs, num_outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    ]

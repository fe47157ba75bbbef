"""VGG with batch norm, for small images.

[Simonyan2015] K. Simonyan and A. Zisserman. Very deep convolutional networks for large-scale image
    recognition. ICLR 2015.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.models.settings import ImageShape, ModelSettings, Network

if TYPE_CHECKING:
    from torch import nn

# Convolutions per stage, by depth, which includes three linear layers as in [Simonyan2015].
_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
_WIDTHS = (64, 128, 256, 512, 512)
_LEAST_SIDE = 16  # four poolings leave one pixel


class VggBnSettings(ModelSettings):
    """VGG with batch norm [Simonyan2015]; the feature has 512 non-negative values."""

    kind: Literal["vgg_bn"]
    depth: Literal[11, 13, 16, 19] = 16

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        side = min(shape.height, shape.width)
        if side < _LEAST_SIDE:
            raise ValueError(
                f"vgg_bn needs images of at least {_LEAST_SIDE}x{_LEAST_SIDE} pixels, "
                f"got {shape.height}x{shape.width}: use small_conv"
            )
        backbone = vgg_bn_backbone(shape.channels, _CONVOLUTIONS[self.depth])
        return Network(backbone, nn.Linear(_WIDTHS[-1], shape.num_classes))


def vgg_bn_backbone(channels: int, convolutions: tuple[int, ...]) -> nn.Sequential:
    """Return the convolutions of [Simonyan2015], which map ``(B, channels, H, W)`` to ``(B, 512)``.

    The last pooling takes the maximum over the whole remaining map. For 32x32 images this is 2x2
    pixels, as in the paper. The two wide linear layers of the paper, which suit large images, are
    left out.
    """
    from torch import nn

    layers: list[nn.Module] = []
    num_inputs = channels
    for width, count in zip(_WIDTHS, convolutions, strict=True):
        for _ in range(count):
            layers += [
                # Batch norm subtracts the mean, so a bias would have no effect.
                nn.Conv2d(num_inputs, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            num_inputs = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:-1], nn.AdaptiveMaxPool2d(1), nn.Flatten())

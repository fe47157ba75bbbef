"""The CIFAR form of ResNet-18 with batch norm and ReLU before each convolution.

[He2016b] K. He et al. Identity mappings in deep residual networks. ECCV 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.models.settings import ImageShape, ModelSettings, Network

if TYPE_CHECKING:
    from torch import nn


class PreActResNet18Settings(ModelSettings):
    """PreAct ResNet-18 [He2016b]; the feature has 512 non-negative values."""

    kind: Literal["preact_resnet18"]

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        return Network(preact_resnet18_backbone(shape.channels), nn.Linear(512, shape.num_classes))


def preact_resnet18_backbone(channels: int) -> nn.Sequential:
    """Return the network that maps ``(B, channels, H, W)`` to features ``(B, 512)``.

    A 3x3 convolution without pooling for small images, four stages of two blocks, batch norm,
    ReLU, and a mean over the image.
    """
    from torch import nn

    from tunebox.models.layers import PreActBlock, resnet18_stages

    layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1, bias=False)]
    layers += resnet18_stages(PreActBlock)
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(512),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )

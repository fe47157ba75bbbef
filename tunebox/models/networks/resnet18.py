"""The CIFAR form of ResNet-18 with a linear feature layer.

[He2016] K. He et al. Deep residual learning for image recognition. CVPR 2016.
[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.models.settings import ImageShape, ModelSettings, Network, Width

if TYPE_CHECKING:
    from torch import nn


class ResNet18Settings(ModelSettings):
    """The CIFAR form of ResNet-18 with a linear feature layer."""

    kind: Literal["resnet18"]
    feature_dim: Width = 128

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        backbone = resnet18_backbone(shape.channels, self.feature_dim)
        return Network(backbone, nn.Linear(self.feature_dim, shape.num_classes))


def resnet18_backbone(channels: int, feature_dim: int) -> nn.Sequential:
    """Return the network of [Nguyen2025], which maps ``(B, channels, H, W)`` to features.

    A 3x3 convolution without pooling for small images, four stages of two blocks, a mean over
    the image, and a linear layer to ``(B, feature_dim)`` without an activation.
    """
    from torch import nn

    from tunebox.models.layers import BasicBlock, resnet18_stages

    layers: list[nn.Module] = [
        nn.Conv2d(channels, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    ]
    layers += resnet18_stages(BasicBlock)
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, feature_dim)
    )

"""Fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.models.settings import Depth, ImageShape, ModelSettings, Network, Width

if TYPE_CHECKING:
    from torch import nn


class MlpSettings(ModelSettings):
    """Fully connected layers with ReLU, and a linear feature layer."""

    kind: Literal["mlp"]
    width: Width = 128
    depth: Depth = 2  # hidden layers
    feature_dim: Width = 32

    def build(self, shape: ImageShape) -> Network:
        """Return the network on the CPU."""
        from torch import nn

        num_inputs = shape.channels * shape.height * shape.width
        backbone = mlp_backbone(num_inputs, self.width, self.depth, self.feature_dim)
        return Network(backbone, nn.Linear(self.feature_dim, shape.num_classes))


def mlp_backbone(num_inputs: int, width: int, depth: int, feature_dim: int) -> nn.Sequential:
    """Return ``depth`` hidden layers with ReLU and a linear feature layer.

    Maps images ``(B, C, H, W)`` with ``num_inputs`` values each to ``(B, feature_dim)``.
    """
    from torch import nn

    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(num_inputs, width), nn.ReLU(inplace=True)]
        num_inputs = width
    return nn.Sequential(*layers, nn.Linear(num_inputs, feature_dim))

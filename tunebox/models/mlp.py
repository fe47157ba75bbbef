"""Fully connected layers."""

from torch import nn


def mlp_backbone(num_inputs: int, width: int, depth: int, feature_dim: int) -> nn.Sequential:
    """Return ``depth`` hidden layers with ReLU and a linear feature layer.

    Maps images ``(B, C, H, W)`` with ``num_inputs`` values each to ``(B, feature_dim)``.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(num_inputs, width), nn.ReLU(inplace=True)]
        num_inputs = width
    return nn.Sequential(*layers, nn.Linear(num_inputs, feature_dim))

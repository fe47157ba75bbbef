"""Inputs of which the values of many losses are known, computed with other code in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def double(values: Sequence[Sequence[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


LOGITS = double([[2, 0, -1], [0.5, 1, 0], [-1, 0, 3], [1, 0, 0]])
LABELS = torch.tensor([0, 1, 2, 2])
P_LABEL = [0.843795, 0.506480, 0.936240, 0.211942]  # the softmax at the labels

FEATURES = double([[1, 0.5], [3, -1], [0, 2], [-1, -2]])
FEATURE_LABELS = torch.tensor([0, 0, 1, 2])
WEIGHT = double([[1, 0], [0, 1], [-1, -1]])
COSINES = double(
    [
        [0.894427, 0.447214, -0.948683],
        [0.948683, -0.316228, -0.447214],
        [0, 1, -0.707107],
        [-0.447214, -0.894427, 0.948683],
    ]
)


def random_logits(seed: int, batch: int = 7, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Logits that need a gradient, and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, classes, generator=generator, dtype=torch.float64) * 2
    return logits.requires_grad_(), torch.randint(classes, (batch,), generator=generator)

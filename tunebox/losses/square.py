"""Square losses on logits, and the linear one.

Shapes: B images, C >= 2 classes. Each function takes logits ``(B, C)`` and labels ``(B,)`` and
returns the mean over the images, a scalar.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.losses.labels import at_label, is_label


def rescaled_square_loss(
    logits: Tensor, labels: Tensor, label_factor: float, label_value: float
) -> Tensor:
    """Return the mean of ``(k (z_y - M)^2 + sum_{j != y} z_j^2) / C``.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
        label_factor: k, the factor of the label's square.
        label_value: M, the value that the logit of the label should have.
    """
    at = is_label(logits, labels)
    wanted = at * label_value
    factors = torch.where(at, label_factor, 1.0)
    return (factors * (logits - wanted).square()).mean()


def simplex_square_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared distance of the logits from the vertex of the label.

    The vertices are those of the regular simplex around 0: ``e_k - 1/C``, at length 1. The nearest
    vertex is that of the largest logit.
    """
    num_classes = logits.shape[1]
    centred = is_label(logits, labels).to(logits.dtype) - 1 / num_classes
    vertices = centred / math.sqrt(1 - 1 / num_classes)
    return (logits - vertices).square().sum(dim=1).mean()


def squentropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return cross-entropy plus the mean square of the other classes' logits."""
    others = logits.masked_fill(is_label(logits, labels), 0)
    squares = others.square().sum(dim=1) / (logits.shape[1] - 1)
    return functional.cross_entropy(logits, labels) + squares.mean()


def unhinged_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``1 - z_y + mean_j z_j``, which has no lower bound.

    Summed over all labels it is C, whatever the logits: symmetric label noise only scales it.
    """
    return (1 - at_label(logits, labels) + logits.mean(dim=1)).mean()

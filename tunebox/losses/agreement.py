"""How far predictions for noisy copies of an image are from each other.

Shapes: B images, C classes, M copies. Every function is differentiable in all of its logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST = 1e-20  # a mean probability below it counts as this


def divergence(logits: Tensor, noisy_logits: Tensor) -> Tensor:
    """Return the mean of ``KL(p || p')`` over the images, >= 0, of logits ``(B, C)``."""
    log_p, log_noisy = functional.log_softmax(logits, 1), functional.log_softmax(noisy_logits, 1)
    return functional.kl_div(log_noisy, log_p, reduction="batchmean", log_target=True)


def cross_entropy_between(logits: Tensor, noisy_logits: Tensor) -> Tensor:
    """Return the mean of ``-sum_c p_c log p'_c`` over the images, of logits ``(B, C)``."""
    return functional.cross_entropy(noisy_logits, functional.softmax(logits, dim=1))


def consistency(copies: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return how far M copies are from their mean prediction, and the entropy of that.

    Args:
        copies: M logits ``(B, C)``.

    Returns:
        The mean of ``KL(mean p || p_j)`` over images and copies, and the mean entropy of the mean
        predictions, both in nats.
    """
    log_p = torch.stack([functional.log_softmax(logits, dim=1) for logits in copies])  # (M, B, C)
    mean = log_p.exp().mean(dim=0)
    log_mean = mean.clamp(min=_SMALLEST).log()
    entropy = -(mean * log_mean).sum(dim=1).mean()
    cross = -(mean * log_p).sum(dim=2).mean()
    return cross - entropy, entropy


def squared_difference(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Return the mean of ``||p - p'||^2`` over the images, of logits ``(B, C)``."""
    apart = functional.softmax(logits, dim=1) - functional.softmax(other_logits, dim=1)
    return apart.square().sum(dim=1).mean()

"""Losses that wrong labels pull less than cross-entropy is pulled.

Shapes: B images, C >= 2 classes. ``p_y`` is the probability that the softmax of the logits gives to
the label. Each function takes logits ``(B, C)`` and labels ``(B,)`` and returns the mean over the
images, a scalar. All work on the logarithm of the softmax, so that no logit is too large.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.losses.labels import at_label


def log_p_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log p_y`` of each image, ``(B,)``."""
    return at_label(functional.log_softmax(logits, dim=1), labels)


def mean_absolute_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``1 - p_y``, in [0, 1]: half of the L1 distance to the one-hot label."""
    return (1 - log_p_label(logits, labels).exp()).mean()


def generalized_cross_entropy(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """Return the mean of ``(1 - p_y^q) / q``; 1 is the absolute error, towards 0 cross-entropy.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
        q: In (0, 1].
    """
    # p^q as exp(q log p): the slope of the power itself is infinite at 0
    return -torch.expm1(q * log_p_label(logits, labels)).mean() / q


def reverse_cross_entropy(logits: Tensor, labels: Tensor, log_zero: float) -> Tensor:
    """Return the mean of ``-A (1 - p_y)``, where ``A = log_zero`` < 0 stands for ``log 0``."""
    return -log_zero * mean_absolute_error(logits, labels)


def normalized_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of ``log p_y / sum_k log p_k``, in [0, 1]."""
    log_p = functional.log_softmax(logits, dim=1)
    return (at_label(log_p, labels) / log_p.sum(dim=1)).mean()


def asymmetric_generalized_cross_entropy(
    logits: Tensor, labels: Tensor, a: float, q: float
) -> Tensor:
    """Return the mean of ``((a + 1)^q - (a + p_y)^q) / q``.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
        a: Above 0.
        q: Above 0.
    """
    p_label = log_p_label(logits, labels).exp()
    return (math.pow(a + 1, q) - (a + p_label).pow(q)).mean() / q


def asymmetric_exponential_loss(logits: Tensor, labels: Tensor, a: float) -> Tensor:
    """Return the mean of ``exp(-p_y / a)``, with ``a`` above 0."""
    return torch.exp(-log_p_label(logits, labels).exp() / a).mean()


def focal_loss(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Return the mean of ``-(1 - p_y)^gamma log p_y``; the factor carries no gradient."""
    log_p = log_p_label(logits, labels)
    return -((1 - log_p.detach().exp()).pow(gamma) * log_p).mean()


def partially_huberised_cross_entropy(logits: Tensor, labels: Tensor, tau: float) -> Tensor:
    """Return the mean cross-entropy, made linear in ``p_y`` where ``p_y <= 1 / tau``.

    The linear part ``-tau p_y + log tau + 1`` continues the logarithm with its slope.

    Args:
        logits: ``(B, C)``.
        labels: ``(B,)``.
        tau: Largest slope, above 1.
    """
    log_p = log_p_label(logits, labels)
    linear = math.log(tau) + 1 - tau * log_p.exp()
    return torch.where(log_p > -math.log(tau), -log_p, linear).mean()

"""Losses of the angles between features and class weights.

Shapes: B images, D feature values, C >= 2 classes. ``u`` is the cosine between the feature of an
image and the weights of a class; ``y`` is the label.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.losses.labels import at_label, is_label, without_label
from tunebox.models.layers import unit_rows

_LARGEST_COSINE = 1 - 1e-7  # the slope of the arc cosine is infinite at 1


def cosines(features: Tensor, weight: Tensor) -> Tensor:
    """Return ``u``, ``(B, C)``, of features ``(B, D)`` and class weights ``(C, D)``."""
    return functional.linear(unit_rows(features), unit_rows(weight.to(features.dtype)))


def lm_softmax(u: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Return the mean of ``log sum_{j != y} exp(s (u_j - u_y)) / s``; may be negative.

    Args:
        u: Cosines, ``(B, C)``.
        labels: ``(B,)``.
        scale: s, above 0.
    """
    lead = scale * (u - at_label(u, labels).unsqueeze(1))
    return torch.logsumexp(without_label(lead, labels), dim=1).mean() / scale


def margin_softmax(
    u: Tensor, labels: Tensor, scale: float, margin: float, of: Literal["cosine", "angle"]
) -> Tensor:
    """Return the cross-entropy of scaled cosines, the label's one lessened by a margin.

    Args:
        u: Cosines, ``(B, C)``.
        labels: ``(B,)``.
        scale: s, factor of all cosines, above 0.
        margin: m; 0 is NormFace.
        of: ``cosine`` takes m from the cosine of the label (CosFace), ``angle`` adds m in radians
            to its angle (ArcFace).
    """
    own = at_label(u, labels)
    if of == "cosine":
        lessened = own - margin
    else:
        angle = torch.acos(own.clamp(-_LARGEST_COSINE, _LARGEST_COSINE))
        lessened = torch.cos(angle + margin)
    logits = scale * torch.where(is_label(u, labels), lessened.unsqueeze(1), u)
    return functional.cross_entropy(logits, labels)


def sample_margins(u: Tensor, labels: Tensor) -> Tensor:
    """Return ``u_y - max_{j != y} u_j`` of each image, ``(B,)``, in [-2, 2]."""
    return at_label(u, labels) - without_label(u, labels).amax(dim=1)


def zero_centroid(weight: Tensor, form: Literal["mean", "sum"], normalized: bool) -> Tensor:
    """Return the squared length of the mean or of the sum of the class weights.

    Args:
        weight: ``(C, D)``.
        form: ``sum`` is C^2 times ``mean``.
        normalized: Whether each row is scaled to length 1 first.
    """
    rows = unit_rows(weight) if normalized else weight
    centroid = rows.mean(dim=0) if form == "mean" else rows.sum(dim=0)
    return centroid.square().sum()

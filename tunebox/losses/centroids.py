"""Centroids of the classes that remember, and the distance to the bisectors between them.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
[Yang2020] X. Yang et al. Adversarial margin in input space for metric learning. arXiv 2006.05945.

Shapes: B images, D feature values, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.losses.base import LossTerm, mean_over_views
from tunebox.losses.context import StepContext, View
from tunebox.losses.labels import at_label, is_label
from tunebox.losses.settings import TermContext

if TYPE_CHECKING:
    from tunebox.losses.terms.bisector import CentroidBisectorMarginSettings


class CentroidsTerm(LossTerm):
    """A term with the centroids of [Nguyen2025].

    The centroid of a class is its mean feature in the batch, blended with the stored one once the
    class has been seen. The stored one carries no gradient.

    Attributes:
        centroids: ``(C, D)``, stored; 0 for a class that was never seen.
        seen: ``(C,)``, bool.
    """

    centroids: Tensor
    seen: Tensor

    def __init__(self, num_classes: int, feature_dim: int, momentum: float) -> None:
        super().__init__()
        self._momentum = momentum
        self.register_buffer("centroids", torch.zeros(num_classes, feature_dim))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))

    def _blend(self, means: Tensor, present: Tensor) -> Tensor:
        """Return the centroids ``(C, D)`` of this batch; in training store those of its classes.

        Args:
            means: ``(C, D)``, the mean feature of each class in the batch.
            present: ``(C,)``, 1 for a class of the batch, else 0.
        """
        remembered = self._momentum * self.seen.to(means.dtype).unsqueeze(1)  # (C, 1)
        centroids = means + remembered * (self.centroids.to(means.dtype) - means)
        if self.training:
            is_present = present > 0
            stored = centroids.detach().to(self.centroids.dtype)
            self.centroids.copy_(torch.where(is_present.unsqueeze(1), stored, self.centroids))
            self.seen.logical_or_(is_present)
        return centroids


def bisector_margin(
    features: Tensor, labels: Tensor, centroids: Tensor, known: Tensor, margin: float
) -> Tensor:
    """Return the mean of ``max_{j != y} max(margin - r_j, 0)`` [Yang2020].

    ``r_j = (||f - c_j||^2 - ||f - c_y||^2) / (2 ||c_j - c_y||)`` is the signed distance of a
    feature from the plane between its centroid and another. Two equal centroids have none.

    Args:
        features: ``(B, D)``.
        labels: ``(B,)``, of known classes.
        centroids: ``(C, D)``.
        known: ``(C,)``, bool; false for a class without a centroid.
        margin: Wanted distance, in feature units.
    """
    # half the difference of the two squares is that of a linear function
    scores = features @ centroids.T - centroids.square().sum(dim=1) / 2
    lead = at_label(scores, labels).unsqueeze(1) - scores
    # The matrix form of cdist is inexact for near rows and would not give an exact 0.
    gaps = torch.cdist(centroids, centroids, compute_mode="donot_use_mm_for_euclid_dist")
    own_gaps = gaps.index_select(0, labels)  # (B, C)
    has_plane = (own_gaps > 0) & known & ~is_label(scores, labels)
    lacking = functional.relu(margin - lead / torch.where(has_plane, own_gaps, 1)) * has_plane
    return lacking.amax(dim=1).mean()


class BisectorTerm(CentroidsTerm):
    """The distance of features from the planes between centroids, which carry no gradient."""

    def __init__(self, settings: CentroidBisectorMarginSettings, context: TermContext) -> None:
        super().__init__(context.num_classes, context.feature_dim, settings.momentum)
        self._settings = settings

    def forward(self, step: StepContext) -> Tensor:
        """Return a scalar >= 0; in training mode the centroids are stored."""
        views = self._settings.views
        features = torch.cat([v.features for name in views for v in step.copies_of(name)]).detach()
        one_hot = step.one_hot.to(features.dtype).repeat(len(features) // len(step.one_hot), 1)
        counts = one_hot.sum(dim=0)
        means = one_hot.T @ features / counts.clamp(min=1).unsqueeze(1)
        known = self.seen | (counts > 0)
        present = counts.clamp(max=1)
        # an absent class has its stored centroid, which it is then blended with
        means = torch.where(present.unsqueeze(1) > 0, means, self.centroids.to(means.dtype))
        centroids = self._blend(means, present)

        def value(step: StepContext, view: View) -> Tensor:
            return bisector_margin(
                view.features, step.labels, centroids, known, self._settings.margin
            )

        return mean_over_views(step, views, value)

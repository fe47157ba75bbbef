"""The discriminative loss: compact classes, far from the decision boundaries of the head.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
[DeBrabandere2017] B. De Brabandere et al. Semantic Instance Segmentation with a Discriminative
    Loss Function. arXiv 1708.02551. The layout of the three parts comes from there.

Shapes: B images, D feature values, C classes, V context.
Every sum over classes is a product with the one-hot labels: no loop, and nothing that makes a
GPU wait for the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tunebox.losses.centroids import CentroidsTerm
from tunebox.losses.context import StepContext
from tunebox.losses.terms.discriminative import DiscriminativeSettings


@dataclass(frozen=True)
class ClassShares:
    """How a mean over the classes of a batch weighs classes and images.

    Attributes:
        present: ``(C,)``, 1 for a class that has an image in the batch, else 0.
        of_class: ``(C,)``, one over the number of present classes, or 0.
        of_image: ``(B,)``, ``of_class`` of the label, shared among the images of that class.
        to_mean: ``(C, B)``, the matrix that takes features to the mean of each class.
    """

    present: Tensor
    of_class: Tensor
    of_image: Tensor
    to_mean: Tensor


def class_shares(one_hot: Tensor) -> ClassShares:
    """Return the weights that count every present class alike, however many images it has.

    Args:
        one_hot: ``(B, C)``, float.
    """
    counts = one_hot.sum(dim=0)
    present = counts.clamp(max=1)
    of_class = present / present.sum()
    to_mean = (one_hot / counts.clamp(min=1)).T  # an absent class has the mean 0, weighted with 0
    return ClassShares(present, of_class, of_class @ to_mean, to_mean)


def compactness_loss(
    views: Tensor, own_centroids: Tensor, shares: ClassShares, delta_v: float, norm: int
) -> Tensor:
    """Return the mean squared distance from the centroid beyond ``delta_v``.

    Args:
        views: Features of all views, ``(V, B, D)``.
        own_centroids: The centroid of each image's class, ``(B, D)``.
        shares: Class shares of this batch.
        delta_v: Distance that costs nothing, in feature units.
        norm: 1 or 2, the order of the norm.
    """
    distances: Tensor = torch.linalg.vector_norm(views - own_centroids, ord=norm, dim=2)  # (V, B)
    excess = functional.relu(distances - delta_v).square()
    return (excess @ shares.of_image).mean()


def margin_loss(means: Tensor, head: nn.Linear, shares: ClassShares, delta_d: float) -> Tensor:
    """Return how much class means lack of the distance ``delta_d`` to their nearest boundary.

    The boundary of two classes is where their logits are equal; distances are Euclidean and
    negative on the wrong side. Two classes with the same weights have no boundary: their pair is
    left out.

    Args:
        means: Mean clean feature of each class, ``(C, D)``.
        head: C >= 2 outputs; the gradient flows into its weights too.
        shares: Class shares of this batch.
        delta_d: Wanted distance, in feature units.
    """
    weight = head.weight.to(means.dtype)
    bias = None if head.bias is None else head.bias.to(means.dtype)
    logits = functional.linear(means, weight, bias)  # (C, C): row k is of class k's mean
    lead = logits - logits.diagonal().unsqueeze(1)
    # The matrix form of cdist is inexact for near rows and would not give an exact 0.
    gaps = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
    has_boundary = gaps > 0
    overstep = lead / torch.where(has_boundary, gaps, 1)  # signed distance to the k|j boundary
    lacking = functional.relu(overstep + delta_d) * has_boundary
    return lacking.amax(dim=1) @ shares.of_class


class DiscriminativeTerm(CentroidsTerm):
    """Compactness, margin and regularisation with centroids that remember [Nguyen2025].

    The centroids are those of clean features. The margin looks at the batch means, compactness and
    regularisation at the centroids.
    """

    def __init__(
        self, settings: DiscriminativeSettings, num_classes: int, feature_dim: int
    ) -> None:
        super().__init__(num_classes, feature_dim, settings.momentum)
        self._settings = settings

    def forward(self, context: StepContext) -> Tensor:
        """Return a scalar >= 0; in training mode the centroids are stored."""
        compactness, margin, regularization = self.parts(context)
        return (
            self._settings.compactness_weight * compactness
            + self._settings.margin_weight * margin
            + self._settings.regularization_weight * regularization
        )

    def parts(self, context: StepContext) -> tuple[Tensor, Tensor, Tensor]:
        """Return the unweighted compactness, margin and regularisation, each a scalar >= 0."""
        settings = self._settings
        clean = context.clean.features
        one_hot = context.one_hot.to(clean.dtype)
        shares = class_shares(one_hot)
        means = shares.to_mean @ clean  # (C, D)
        centroids = self._blend(means, shares.present)
        both = torch.stack([clean, context.noisy.features])  # (2, B, D)
        compactness = compactness_loss(
            both, one_hot @ centroids, shares, settings.delta_v, settings.norm
        )
        margin = margin_loss(means, context.head, shares, settings.delta_d)
        lengths = torch.linalg.vector_norm(centroids, ord=settings.norm, dim=1)
        return compactness, margin, lengths @ shares.of_class

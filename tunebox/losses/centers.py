"""Distances from centres of the classes that follow the features.

Shapes: B images, D feature values, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tunebox.losses.base import LossTerm, mean_over_views
from tunebox.losses.context import StepContext, View
from tunebox.losses.settings import TermContext

if TYPE_CHECKING:
    from tunebox.losses.terms.center import CentersSettings


def moved_centers(centers: Tensor, features: Tensor, one_hot: Tensor, rate: float) -> Tensor:
    """Return the centres after one step towards the features of their class [Wen2016].

    ``c_k - rate * sum_{i: y_i = k} (c_k - f_i) / (1 + n_k)``; a class without an image stays.

    Args:
        centers: ``(C, D)``.
        features: ``(B, D)``.
        one_hot: ``(B, C)``, float.
        rate: In [0, 1].
    """
    counts = one_hot.sum(dim=0).unsqueeze(1)
    apart = counts * centers - one_hot.T @ features
    return centers - rate * apart / (1 + counts)


def center_loss(features: Tensor, own_centers: Tensor) -> Tensor:
    """Return the mean squared distance of features ``(B, D)`` from their centres ``(B, D)``."""
    return (features - own_centers).square().sum(dim=1).mean()


def sigmoid_center_loss(features: Tensor, own_centers: Tensor, steepness: float) -> Tensor:
    """Return half the mean squared distance, where images far from their centre count more.

    The weight of an image is ``2 sigmoid(steepness * (distance - mean distance))``, and carries no
    gradient.

    Args:
        features: ``(B, D)``.
        own_centers: ``(B, D)``.
        steepness: In one over feature units, above 0.
    """
    apart = features - own_centers
    distances = torch.linalg.vector_norm(apart.detach(), dim=1)
    weights = 2 * torch.sigmoid(steepness * (distances - distances.mean()))
    return (weights * apart.square().sum(dim=1)).mean() / 2


class CentersTerm(LossTerm):
    """A distance from stored centres, which follow the features in training mode.

    Attributes:
        centers: ``(C, D)``, at first 0.
    """

    centers: Tensor

    def __init__(self, settings: CentersSettings, context: TermContext) -> None:
        super().__init__()
        self._settings = settings
        self.register_buffer("centers", torch.zeros(context.num_classes, context.feature_dim))

    def forward(self, step: StepContext) -> Tensor:
        """Return a scalar >= 0 of the centres before this step."""
        views = self._settings.views
        value = mean_over_views(step, views, self._value)
        if self.training:
            features = torch.cat([v.features for name in views for v in step.copies_of(name)])
            one_hot = step.one_hot.repeat(len(features) // len(step.one_hot), 1)
            moved = moved_centers(
                self.centers,
                features.detach().to(self.centers.dtype),
                one_hot.to(self.centers.dtype),
                self._settings.center_rate,
            )
            self.centers.copy_(moved)
        return value

    def _value(self, step: StepContext, view: View) -> Tensor:
        # a copy: the centres change before the gradient is computed
        own = self.centers.to(view.features.dtype).index_select(0, step.labels)
        return self._settings.distance(view.features, own)

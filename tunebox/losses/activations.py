"""How well single feature values tell the classes apart [Croitoru2022].

[Croitoru2022] A. Croitoru, D. Grigore and R. T. Ionescu. arXiv 2202.07073.

Shapes: B images, D feature values, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-10
_SILENT = 1e-6  # a feature value with a smaller sum over the classes says nothing about them


def class_shares_of_features(features: Tensor, one_hot: Tensor) -> tuple[Tensor, Tensor]:
    """Return how the mean absolute activation of each feature value is shared by the classes.

    Args:
        features: ``(B, D)``.
        one_hot: ``(B, C)``, float.

    Returns:
        Shares ``(D, C)``, and ``(D,)``, 1 for a value that is active in this batch, else 0. The
        shares of an active value sum to 1, those of the others are constant 0.
    """
    counts = one_hot.sum(dim=0)
    means = features.abs().T @ one_hot / (counts + _SMALL)
    sums = means.sum(dim=1, keepdim=True)
    active = sums > _SILENT
    shares = torch.where(active, means / torch.where(active, sums + _SMALL, 1), 0)
    return shares, active.squeeze(1).to(features.dtype)


def gini_impurity(features: Tensor, one_hot: Tensor) -> Tensor:
    """Return the mean Gini impurity of the active feature values, in [0, 1 - 1/C].

    0 if each value is active for one class alone.

    Args:
        features: ``(B, D)``.
        one_hot: ``(B, C)``, float.
    """
    shares, active = class_shares_of_features(features, one_hot)
    impurity = (1 - shares.square().sum(dim=1)) * active
    return impurity.sum() / active.sum().clamp(min=1)


def class_distribution_divergence(features: Tensor, one_hot: Tensor) -> Tensor:
    """Return ``KL(t || q)`` >= 0 between the classes of the batch and those that features serve.

    ``t`` is the share of each class among the images, ``q`` its mean share over the active feature
    values. 0 if there is no active value.

    Args:
        features: ``(B, D)``.
        one_hot: ``(B, C)``, float.
    """
    shares, active = class_shares_of_features(features, one_hot)
    served = shares.sum(dim=0) / active.sum().clamp(min=1)
    wanted = one_hot.mean(dim=0)
    terms = torch.xlogy(wanted, wanted) - wanted * (served + _SMALL).log()
    return terms.sum() * active.amax()

"""Stability: an image and its noisy copy should have the same features.

[Zheng2016] S. Zheng et al. Improving the robustness of deep neural networks via stability
    training. CVPR 2016.
[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
"""

import torch
from torch import Tensor

from tunebox.losses.base import LossTerm, Views


def stability_loss(features: Tensor, noisy_features: Tensor) -> Tensor:
    """Return the mean Euclidean distance between the two views of each image.

    Stability training [Zheng2016] in feature space, as [Nguyen2025] compares with. The gradient
    flows through both views and is 0 where they agree.

    Args:
        features: Clean view, ``(B, D)``.
        noisy_features: Noisy view of the same images in the same order, ``(B, D)``.

    Returns:
        A scalar >= 0 in feature units; 0 when the views agree.

    Raises:
        ValueError: The shapes differ.
    """
    if features.shape != noisy_features.shape:
        raise ValueError(
            "stability_loss needs two views of one shape, "
            f"got {tuple(features.shape)} and {tuple(noisy_features.shape)}"
        )
    distances: Tensor = torch.linalg.vector_norm(features - noisy_features, dim=1)  # (B,)
    return distances.mean()


class StabilityTerm(LossTerm):
    """:func:`stability_loss` of the views."""

    def forward(self, views: Views) -> Tensor:
        """Return a scalar >= 0, in feature units."""
        return stability_loss(views.clean.features, views.noisy.features)

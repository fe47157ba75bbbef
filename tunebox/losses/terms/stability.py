"""Stability: an image and its noisy copy should have the same features or predictions.

[Li2019] B. Li et al. Certified Adversarial Robustness with Additive Noise. NeurIPS 2019.
[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
[Zheng2016] S. Zheng et al. Improving the robustness of deep neural networks via stability
    training. CVPR 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tunebox.losses.settings import TermContext, TermSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext


class StabilitySettings(TermSettings):
    """The two views of an image should have the same features or predictions [Zheng2016].

    Formula: mean ||f - f'||; KL(p || p'); or -sum_c p_c log p'_c
    Good for: noise; `features` as [Nguyen2025] compares with, `kl` as [Zheng2016] and, with
        noise in place of the attack, `trades`; `cross_entropy` as [Li2019], published weight 2.
    Deviates: no. The gradient flows through both views.
    """

    kind: Literal["stability"] = "stability"
    # of features: Euclidean; of predictions: kl or cross_entropy
    distance: Literal["features", "kl", "cross_entropy"] = "features"

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self._value)

    def _value(self, step: StepContext) -> Tensor:
        from tunebox.losses.agreement import cross_entropy_between, divergence

        if self.distance == "features":
            return stability_loss(step.clean.features, step.noisy.features)
        between = divergence if self.distance == "kl" else cross_entropy_between
        return between(step.clean.logits, step.noisy.logits)


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
    import torch

    if features.shape != noisy_features.shape:
        raise ValueError(
            "stability_loss needs two views of one shape, "
            f"got {tuple(features.shape)} and {tuple(noisy_features.shape)}"
        )
    distances: Tensor = torch.linalg.vector_norm(features - noisy_features, dim=1)  # (B,)
    return distances.mean()

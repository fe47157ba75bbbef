"""Feature values that serve few classes each; the mathematics is in `tunebox.losses.activations`.

[Croitoru2022] A. Croitoru, D. Grigore and R. T. Ionescu. Discriminability-enforcing loss to improve
    representation learning. arXiv 2202.07073.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.losses.settings import ViewTermSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.context import StepContext, View


class ActivationSettings(ViewTermSettings):
    """Settings of a term of absolute feature values."""

    start: float = Field(0.0, ge=0, lt=1)  # share of the training before which the term is 0

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the term, or 0 before its start."""
        value = self.of_features(view.features, step.one_hot.to(view.features.dtype))
        return value if step.progress >= self.start else 0 * value

    def of_features(self, features: Tensor, one_hot: Tensor) -> Tensor:
        """Return the term of features ``(B, D)`` and one-hot labels ``(B, C)``."""
        raise NotImplementedError


class GiniSettings(ActivationSettings):
    """Each feature value should be active for one class alone [Croitoru2022].

    Formula: mean_f (1 - sum_k P_fk^2), P_fk: share of class k in the mean |activation| of value f
    Good for: features that can be told apart; with class_distribution. Batches above 2 C.
    Deviates: on the features before the head instead of all maps of the last stage; silent values
        are left out. Published: weight 0.5, start after 10 epochs.
    """

    kind: Literal["gini"] = "gini"

    def of_features(self, features: Tensor, one_hot: Tensor) -> Tensor:
        """Return the mean impurity, in [0, 1)."""
        from tunebox.losses.activations import gini_impurity

        return gini_impurity(features, one_hot)


class ClassDistributionSettings(ActivationSettings):
    """Each class should be served by as many feature values as it has images [Croitoru2022].

    Formula: KL(t || q), t_k: share of class k in the batch, q_k = mean_f P_fk
    Good for: keeping gini from serving few classes.
    Deviates: as gini.
    """

    kind: Literal["class_distribution"] = "class_distribution"

    def of_features(self, features: Tensor, one_hot: Tensor) -> Tensor:
        """Return the divergence, in nats."""
        from tunebox.losses.activations import class_distribution_divergence

        return class_distribution_divergence(features, one_hot)

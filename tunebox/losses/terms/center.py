"""Features near a centre of their class; the mathematics is in `tunebox.losses.centers`.

[Wen2016] Y. Wen et al. A Discriminative Feature Learning Approach for Deep Face Recognition. ECCV
    2016.
[LaGrassa2020] R. La Grassa, I. Gallo and N. Landro. sigma2R loss: a weighted loss by multiplicative
    factors using sigmoidal functions. arXiv 2009.08796.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.losses.settings import TermContext, ViewTermSettings, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm


class CentersSettings(ViewTermSettings):
    """Settings of a distance from stored centres."""

    weight: Weight = 0.003
    center_rate: float = Field(0.5, ge=0, le=1)  # step of the centres towards their features

    def build(self, context: TermContext) -> LossTerm:
        """Return the term, with all centres at 0."""
        from tunebox.losses.centers import CentersTerm

        return CentersTerm(self, context)

    def distance(self, features: Tensor, own_centers: Tensor) -> Tensor:
        """Return the term of features ``(B, D)`` and the centres of their classes ``(B, D)``."""
        raise NotImplementedError


class CenterSettings(CentersSettings):
    """Squared distance from the centre of the class, which follows its features [Wen2016].

    Formula: mean ||f - c_y||^2, then c_k <- c_k - r sum_{i: y_i = k} (c_k - f_i) / (1 + n_k)
    Good for: compact classes beside a base loss; published weight 0.003 for faces.
    Deviates: the mean of later code; the paper has half the sum. Centres start at 0.
    """

    kind: Literal["center"] = "center"

    def distance(self, features: Tensor, own_centers: Tensor) -> Tensor:
        """Return the mean squared distance, in squared feature units."""
        from tunebox.losses.centers import center_loss

        return center_loss(features, own_centers)


class SigmoidCenterSettings(CentersSettings):
    """Centre loss in which images far from their centre count more.

    Formula: (1/2) mean w ||f - c_y||^2, w = 2 sigmoid(k (||f - c_y|| - mean ||f - c_y||))
    Good for: classes with stragglers, when most images are close to their centre.
    Deviates: an own construction after the abstract of sigma2R [LaGrassa2020], whose formula was
        not found; it is not that loss. The weight w carries no gradient.
    """

    kind: Literal["sigmoid_center"] = "sigmoid_center"
    steepness: float = Field(5.0, gt=0, le=1000)  # k, in one over feature units

    def distance(self, features: Tensor, own_centers: Tensor) -> Tensor:
        """Return half the weighted mean squared distance, in squared feature units."""
        from tunebox.losses.centers import sigmoid_center_loss

        return sigmoid_center_loss(features, own_centers, self.steepness)

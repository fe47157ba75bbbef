"""The discriminative loss; its mathematics is in `tunebox.losses.discriminative`.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.losses.settings import TermContext, TermSettings, Weight

if TYPE_CHECKING:
    from tunebox.losses.base import LossTerm


class DiscriminativeSettings(TermSettings):
    """Compact classes away from the decision boundaries [Nguyen2025].

    Formula: a L_comp + b L_marg + g L_reg: squared distances of both views from the centroid of
        the class beyond delta_v, the distance to the nearest boundary that the class mean lacks of
        delta_d, and the length of the centroid
    Good for: noise of moderate strength without loss on clean images.
    Deviates: two classes with equal weights have no boundary, instead of 0/0.
    """

    needs_linear_head: ClassVar[bool] = True  # its distances are those to linear boundaries
    min_classes: ClassVar[int] = 2
    kind: Literal["discriminative"] = "discriminative"
    # the weight of the term is λ
    compactness_weight: Weight = 1.0  # α
    margin_weight: Weight = 1.0  # β
    regularization_weight: Weight = 0.001  # γ
    delta_v: float = Field(
        0.5, ge=0, le=1e6
    )  # δ_v: free distance from the centroid, in feature units
    delta_d: float = Field(
        5.0, ge=0, le=1e6
    )  # δ_d: wanted distance to each boundary, in feature units
    momentum: float = Field(0.99, ge=0, lt=1)  # m of the centroids
    norm: Literal[1, 2] = 2

    @model_validator(mode="after")
    def _margin_exceeds_radius(self) -> Self:
        # A class of radius delta_v keeps delta_d - delta_v to the boundary only if that is > 0.
        if self.delta_d <= self.delta_v:
            raise ValueError(
                f"delta_d must be above delta_v, got delta_d={self.delta_d:g} "
                f"and delta_v={self.delta_v:g}"
            )
        return self

    def build(self, context: TermContext) -> LossTerm:
        """Return the term, with no class seen yet."""
        from tunebox.losses.discriminative import DiscriminativeTerm

        return DiscriminativeTerm(self, context.num_classes, context.feature_dim)

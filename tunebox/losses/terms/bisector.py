"""Features far from other classes' centroids; the mathematics is in `tunebox.losses.centroids`.

[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
[Yang2020] X. Yang et al. Adversarial margin in input space for metric learning. arXiv 2006.05945.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import TermContext, ViewTermSettings

if TYPE_CHECKING:
    from tunebox.losses.base import LossTerm


class CentroidBisectorMarginSettings(ViewTermSettings):
    """Features a margin away from the planes between their centroid and others [Yang2020].

    Formula: max_{j != y} max(m - r_j, 0), r_j = (||f - c_j||^2 - ||f - c_y||^2) / (2 ||c_j - c_y||)
    Good for: margins of single images; the margin of `discriminative` is that of class means.
    Deviates: the closed form for a linear metric and triplets, used in feature space with the
        centroids of [Nguyen2025], which carry no gradient. The published hinge was not readable.
    """

    min_classes: ClassVar[int] = 2
    kind: Literal["centroid_bisector_margin"] = "centroid_bisector_margin"
    margin: float = Field(1.0, gt=0, le=1e6)  # m, in feature units
    momentum: float = Field(0.9, ge=0, lt=1)  # of the centroids

    def build(self, context: TermContext) -> LossTerm:
        """Return the term, with no class seen yet."""
        from tunebox.losses.centroids import BisectorTerm

        return BisectorTerm(self, context)

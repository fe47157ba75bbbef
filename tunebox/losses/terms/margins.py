"""Regularisers of the angles between features and class weights.

[Zhou2022] X. Zhou et al. Learning Towards the Largest Margins. ICLR 2022. arXiv 2206.11589.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from tunebox.losses.settings import TermContext, TermSettings, Views, ViewTermSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext, View


class SampleMarginSettings(ViewTermSettings):
    """A large cosine to the label's weights compared with any other class [Zhou2022].

    Formula: -(u_y - max_{j != y} u_j)
    Good for: margins beside any base loss.
    Deviates: also beside a linear head, whose bias and lengths it does not see. The published
        weights were not readable.
    """

    min_classes: ClassVar[int] = 2
    kind: Literal["sample_margin"] = "sample_margin"

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return minus the mean margin, in [-2, 2]."""
        from tunebox.losses.margins import cosines, sample_margins

        return -sample_margins(cosines(view.features, step.head.weight), step.labels).mean()


class ZeroCentroidSettings(TermSettings):
    """Class weights that are centred around 0 [Zhou2022].

    Formula: ||(1/C) sum_j w_j||^2
    Good for: classes of unequal size, whose weights otherwise drift together.
    Deviates: form `sum` with normalised rows is a third-party implementation's, with weight 5.
    """

    kind: Literal["zero_centroid"] = "zero_centroid"
    form: Literal["mean", "sum"] = "mean"  # sum: C^2 times as large
    normalized: bool = True  # whether each class weighs the same, whatever its length

    @property
    def views(self) -> Views:
        """None: the term looks at the head alone."""
        return ()

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm
        from tunebox.losses.margins import zero_centroid

        return FunctionTerm(
            lambda step: zero_centroid(step.head.weight, self.form, self.normalized)
        )

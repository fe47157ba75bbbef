"""Directions that spread over all dimensions; the mathematics is in `tunebox.losses.coding_rate`.

[Jiang2024] X. Jiang et al. Anti-Collapse Loss for Deep Metric Learning Based on Coding Rate Metric.
    IEEE TMM 2024. arXiv 2407.03106.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.losses.settings import TermContext, Views, ViewTermSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext, View


class AntiCollapseSettings(ViewTermSettings):
    """A high coding rate of features or class weights [Jiang2024].

    Formula: exp(-g R), R = (1/2) log det(I + d/(n e) M^T M), rows of M of length 1
    Good for: features that collapse to few dimensions; for metric learning.
    Deviates: form `linear`, -g R / n, is added: the exponential vanishes for long features.
    """

    kind: Literal["anti_collapse"] = "anti_collapse"
    # M: the weights of the classes in the batch, those of all classes, or the features
    rows: Literal["batch_classes", "all_classes", "features"] = "batch_classes"
    scaling: Literal["theory", "repository"] = "theory"  # repository: n/(d e) in place of d/(n e)
    form: Literal["exponential", "linear"] = "exponential"
    gamma: float = Field(1.0, gt=0, le=1000)  # g
    epsilon: float = Field(0.5, gt=0, le=1000)  # e, the distortion

    @property
    def views(self) -> Views:
        """The views that the term looks at; none if it looks at the head alone."""
        return super().views if self.rows == "features" else ()

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return super().build(context) if self.views else FunctionTerm(self._of_classes)

    def of_view(self, step: StepContext, view: View) -> Tensor:
        """Return the term of the features."""
        return self._of_rows(view.features, view.features.new_ones(len(view.features)))

    def _of_classes(self, step: StepContext) -> Tensor:
        weight = step.head.weight
        counts = step.one_hot.sum(dim=0).clamp(max=1).to(weight.dtype)
        return self._of_rows(
            weight, counts if self.rows == "batch_classes" else weight.new_ones(len(weight))
        )

    def _of_rows(self, rows: Tensor, counts: Tensor) -> Tensor:
        """Return the term: in (0, 1] if exponential, else <= 0."""
        import torch

        from tunebox.losses.coding_rate import coding_rate

        rate = coding_rate(rows, counts, self.epsilon, self.scaling)
        if self.form == "exponential":
            return torch.exp(-self.gamma * rate)
        return -self.gamma * rate / counts.sum()

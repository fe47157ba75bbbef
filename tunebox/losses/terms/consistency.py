"""Consistency: noisy copies of an image should have the same prediction.

[Jeong2020] J. Jeong and J. Shin. Consistency Regularization for Certified Robustness of Smoothed
    Classifiers. NeurIPS 2020. arXiv 2006.04062.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.losses.settings import Family, TermContext, TermSettings, Views, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext


class ConsistencySettings(TermSettings):
    """Noisy copies of an image should have the same prediction, a confident one [Jeong2020].

    Formula: l mean_j KL(q || p_j) + h H(q), q = mean_j p_j over m copies; `kl`: l mean_j KL(q ||
        p_j); `cross_entropy`: l (mean_j KL(q || p_j) + H(q)); `mse`: l ||p_1 - p_2||^2
    Good for: certified accuracy under Gaussian noise, with `cross_entropy: {on: noisy}`, which then
        sees all copies. Published l: 20, 10, 10 for noise of 0.25, 0.5, 1 without clamp on
        CIFAR-10, 3 with form `cross_entropy`.
    Deviates: an epoch has as many steps as without copies; the published loop cuts each batch in m.
    """

    family: ClassVar[Family] = "smoothing"
    kind: Literal["consistency"] = "consistency"
    form: Literal["kl_entropy", "kl", "cross_entropy", "mse"] = "kl_entropy"
    copies: int = Field(2, ge=2, le=16)  # m, noisy copies of each image
    agreement_weight: Weight = 10.0  # l
    entropy_weight: Weight = 0.5  # h, for kl_entropy

    @model_validator(mode="after")
    def _mse_is_of_two(self) -> Self:
        if self.form == "mse" and self.copies != 2:
            raise ValueError(f"form mse compares 2 copies, got copies={self.copies}")
        return self

    @property
    def views(self) -> Views:
        """The views that the term looks at."""
        return ("noisy",)

    @property
    def num_copies(self) -> int:
        """How many noisy copies of each image the term needs."""
        return self.copies

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self._value)

    def _value(self, step: StepContext) -> Tensor:
        from tunebox.losses.agreement import consistency, squared_difference

        # another term may need more copies than this one
        copies = [view.logits for view in step.copies_of("noisy")[: self.copies]]
        if self.form == "mse":
            return self.agreement_weight * squared_difference(*copies)
        divergence, entropy = consistency(copies)
        if self.form == "cross_entropy":
            return self.agreement_weight * (divergence + entropy)
        value = self.agreement_weight * divergence
        return value + self.entropy_weight * entropy if self.form == "kl_entropy" else value

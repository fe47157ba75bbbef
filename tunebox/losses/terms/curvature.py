"""Penalties on slope and curvature; the mathematics is in `tunebox.losses.input_derivatives`.

[Drucker1992] H. Drucker and Y. LeCun. Improving Generalization Performance Using Double
    Backpropagation. IEEE TNN 1992.
[Hoffman2019] J. Hoffman, D. A. Roberts and S. Yaida. Robust Learning with Jacobian Regularization.
    arXiv 1908.02729.
[Moosavi2019] S.-M. Moosavi-Dezfooli et al. Robustness via Curvature Regularization, and Vice Versa.
    CVPR 2019. arXiv 1811.09716.
[Nguyen2025] H.-V. Nguyen et al. Training More Robust Classification Model via Discriminative Loss
    and Gaussian Noise Injection. arXiv 2405.18499.
[Ross2018] A. S. Ross and F. Doshi-Velez. Improving the Adversarial Robustness and Interpretability
    of Deep Neural Networks by Regularizing Their Input Gradients. AAAI 2018.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import Family, TermContext, TermSettings, Views, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext


class DerivativeSettings(TermSettings):
    """Settings of a penalty on derivatives at the clean images, in normalised-input units."""

    family: ClassVar[Family] = "adversarial"

    @property
    def views(self) -> Views:
        """None: the term needs a forward of its own, with the running statistics."""
        return ()

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs."""
        return ("clean",)

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self.of_step)

    def of_step(self, step: StepContext) -> Tensor:
        """Return the term, a scalar >= 0."""
        raise NotImplementedError


class InputGradientSettings(DerivativeSettings):
    """A small slope of the loss at each image [Drucker1992].

    Formula: ||d(-log p_y) / dx||^2, x in units of the normalised input
    Good for: small perturbations of any direction, also for inspection [Ross2018]. Weights of 0.001
        to 10 are usual.
    Deviates: batch norm uses its running statistics, so that the slope of an image is its own.
    """

    cost: ClassVar[str | None] = "1, with a second backward through the first"
    kind: Literal["input_gradient"] = "input_gradient"

    def of_step(self, step: StepContext) -> Tensor:
        """Return the mean squared length of the gradient."""
        from tunebox.losses.input_derivatives import (
            frozen_logits,
            input_gradients,
            squared_lengths,
        )

        inputs = step.model.normalize(step.images["clean"])
        return squared_lengths(input_gradients(frozen_logits(step), inputs, step.labels)).mean()


class JacobianSettings(DerivativeSettings):
    """Small slopes of all logits at each image [Hoffman2019].

    Formula: (1/2) ||dz / dx||^2, estimated as (1/2) (C/n) sum_v ||d(v z) / dx||^2 with n random v
        of length 1
    Good for: small perturbations of any direction; needs no labels. Published weight 0.01, n = 1.
    Deviates: batch norm uses its running statistics. With n = C or more, v are the unit vectors and
        the norm is exact.
    """

    cost: ClassVar[str | None] = "1, with second backwards through `projections` first ones"
    weight: Weight = 0.01
    kind: Literal["jacobian"] = "jacobian"
    projections: int = Field(1, ge=1, le=1000)  # n

    def of_step(self, step: StepContext) -> Tensor:
        """Return half the mean squared Frobenius norm."""
        from tunebox.losses.input_derivatives import frozen_logits, squared_jacobians

        inputs = step.model.normalize(step.images["clean"])
        return squared_jacobians(frozen_logits(step), inputs, self._directions(step)).mean() / 2

    def _directions(self, step: StepContext) -> Tensor:
        import torch

        from tunebox.models.layers import unit_rows

        num_images, num_classes = step.one_hot.shape
        like = step.images["clean"]
        if self.projections >= num_classes:
            units = torch.eye(num_classes, dtype=like.dtype, device=like.device)
            return units.unsqueeze(1).expand(-1, num_images, -1)
        drawn = torch.randn(
            (self.projections * num_images, num_classes),
            generator=step.generator,
            dtype=like.dtype,
            device=like.device,
        )
        return unit_rows(drawn).view(self.projections, num_images, num_classes)


class CureSettings(DerivativeSettings):
    """A gradient of the loss that changes little along its own signs [Moosavi2019].

    Formula: ||g(x + h v) - g(x)||^2, g = d(-log p_y) / dx, v = sign g / ||sign g||
    Good for: attacks in the linf ball, by fine-tuning of a trained model; published h: 0.1 to 3 in
        rising steps. `direction: normal` penalises the curvature that [Nguyen2025] measures.
    Deviates: each image has the gradient of its own loss; published code divides it by the batch
        size, so its weight of 4 is on another scale. `power: 1` is its norm without the square.
    """

    cost: ClassVar[str | None] = "2, each with a second backward through the first"
    kind: Literal["cure"] = "cure"
    step: float = Field(1.5, gt=0, le=1000)  # h, in units of the normalised input
    warmup: float = Field(0.0, ge=0, le=1)  # share of the training in which h grows from 0
    power: Literal[1, 2] = 2  # of the norm
    # v: signs of the gradient, or normal values over the root of their number
    direction: Literal["gradient_sign", "normal"] = "gradient_sign"

    def of_step(self, step: StepContext) -> Tensor:
        """Return the mean change of the gradient, to the power."""
        import torch

        from tunebox.losses.input_derivatives import (
            frozen_logits,
            gradient_changes,
            input_gradients,
            squared_lengths,
        )

        logits_of = frozen_logits(step)
        inputs = step.model.normalize(step.images["clean"])
        gradients = input_gradients(logits_of, inputs, step.labels)
        moves = self._length(step.progress) * self._directions(gradients, step)
        changes = gradient_changes(logits_of, inputs, step.labels, gradients, moves)
        if self.power == 2:
            return squared_lengths(changes).mean()
        lengths: Tensor = torch.linalg.vector_norm(changes.flatten(1), dim=1)
        return lengths.mean()

    def _length(self, progress: float) -> float:
        return self.step * min(1.0, progress / self.warmup) if self.warmup else self.step

    def _directions(self, gradients: Tensor, step: StepContext) -> Tensor:
        from tunebox.losses.input_derivatives import sign_directions
        from tunebox.metrics.attacks import normal_like

        if self.direction == "gradient_sign":
            return sign_directions(gradients)
        return normal_like(gradients, step.generator) / math.sqrt(gradients[0].numel())

"""Confidence-aware training; the mathematics is in `tunebox.losses.smoothing`.

[Jeong2023] J. Jeong, S. Kim and J. Shin. Confidence-aware Training of Smoothed Classifiers for
    Certified Robustness. AAAI 2023. arXiv 2212.09000.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import TermContext, Views, Weight
from tunebox.losses.terms.smoothing import CopiesSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext


class CatRsSettings(CopiesSettings):
    """Copies that are right, and attacked noise where all of them may count [Jeong2023].

    Formula: (1/m) sum of the K smallest -log p_y(x + n_j) + l max_j KL(t || p(x + n'_j)) if K = m,
        K ~ max(1, Binomial(m, c)), c: share of copies that are right; n'_j: `steps` steps of attack
        on that divergence in the ball ||n'_j - n_j||_2 <= e, with the mean and size of n_j
    Good for: certified accuracy under Gaussian noise, alone. Published for CIFAR-10: m = 4, e = 1,
        4 steps, l = 0.5, 1, 2 for noise of 0.25, 0.5, 1.
    Deviates: t is the mean prediction of a moving average of the model for the same copies, instead
        of stored class frequencies of another trained model for 10,000 copies.
    """

    needs_same_view: ClassVar[bool] = True
    cost: ClassVar[str | None] = "`copies` (`steps` + 2), and `copies` without backward"
    kind: Literal["cat_rs"] = "cat_rs"
    copies: int = Field(4, ge=2, le=16)  # m, noisy copies of each image
    epsilon: float = Field(1.0, gt=0, le=100)  # e, radius of the ball, in units of the pixel range
    steps: int = Field(4, ge=1, le=100)  # of the attack
    worst_weight: Weight = 1.0  # l
    # c: the share of copies that are right, or the teacher's probability of the label
    confidence: Literal["copies", "teacher"] = "copies"
    decay: float = Field(0.99, ge=0, lt=1)  # share that the teacher keeps in each step

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs."""
        return ("clean", "noisy")

    @property
    def teacher_decay(self) -> float:
        """Share that the teacher keeps of itself in each step."""
        return self.decay

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self._value)

    def _value(self, step: StepContext) -> Tensor:
        from tunebox.losses.smoothing import (
            attacked_noises,
            copies_of,
            copy_divergences,
            logits_at,
            noises_of,
        )

        targets = self._targets(step)
        images, logits = step.images["clean"].detach(), copies_of(step, self.copies)

        def losses(noises: Tensor) -> Tensor:
            return copy_divergences(targets, logits_at(step, images, noises, "frozen"))

        noises = attacked_noises(
            losses, noises_of(step, self.copies), radius=self.epsilon, num_steps=self.steps
        )
        attacked = logits_at(step, images, noises)
        return self.of_logits(
            logits, attacked, step.labels, targets, self._counts(step, logits, targets)
        )

    def of_logits(
        self, logits: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor, counts: Tensor
    ) -> Tensor:
        """Return the term, a scalar >= 0.

        Args:
            logits: Of the copies, ``(M, B, K)``.
            attacked: Of the copies with attacked noise, ``(M, B, K)``.
            labels: ``(B,)``.
            targets: ``(B, K)``, probabilities.
            counts: ``(B,)``, how many copies of each image count, 1 to M.
        """
        from tunebox.losses.smoothing import confident_loss, copy_divergences, copy_losses

        low = confident_loss(copy_losses(logits, labels), counts)
        worst = copy_divergences(targets, attacked).amax(dim=0)
        return (low + self.worst_weight * (counts == len(logits)) * worst).mean()

    def _targets(self, step: StepContext) -> Tensor:
        import torch

        assert step.teacher is not None
        noisy = torch.cat(step.noisy_images[: self.copies]).detach()
        probabilities = step.teacher(noisy).logits.softmax(dim=1)
        return torch.stack(probabilities.chunk(self.copies)).mean(dim=0)

    def _counts(self, step: StepContext, logits: Tensor, targets: Tensor) -> Tensor:
        """Return how many copies of each image count, ``(B,)``: a binomial draw, at least 1."""
        import torch

        from tunebox.losses.labels import at_label

        if self.confidence == "copies":
            right = logits.argmax(dim=2) == step.labels
            confidence = right.to(targets.dtype).mean(dim=0)
        else:
            confidence = at_label(targets, step.labels)
        drawn = torch.rand(
            logits.shape[:2],
            generator=step.generator,
            dtype=targets.dtype,
            device=logits.device,
        )
        return (drawn < confidence).sum(dim=0).clamp(min=1)

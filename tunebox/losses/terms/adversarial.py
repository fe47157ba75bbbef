"""Training with attacked images; the attack is in `tunebox.metrics.attacks`.

[Madry2018] A. Madry et al. Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR
    2018. arXiv 1706.06083.
[Zhang2019] H. Zhang et al. Theoretically Principled Trade-off between Robustness and Accuracy. ICML
    2019. arXiv 1901.08573.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import Family, TermContext, TermSettings, Views

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext
    from tunebox.metrics.attacks import Ball

_TRADES_START = 0.001  # standard deviation around the image: the gradient of KL at it is 0


class AttackSettings(TermSettings):
    """Settings of a term that attacks the clean images within a ball around them."""

    family: ClassVar[Family] = "adversarial"
    norm: Literal["linf", "l2"] = "linf"
    epsilon: float = Field(gt=0, le=100)  # e, radius of the ball, in units of the pixel range
    steps: int = Field(7, ge=1, le=100)  # of the attack
    # length of a step; null: 2.5 epsilon / steps
    step_size: float | None = Field(None, gt=0, le=100)

    @property
    def step_length(self) -> float:
        """Norm of a step of the attack, in units of the pixel range."""
        return 2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs."""
        return ("clean",)

    @property
    def ball(self) -> Ball:
        """The allowed perturbations."""
        from tunebox.metrics.attacks import Ball

        return Ball(self.norm, self.epsilon)

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self.of_step)

    def of_step(self, step: StepContext) -> Tensor:
        """Return the term, a scalar."""
        raise NotImplementedError


class PgdSettings(AttackSettings):
    """Cross-entropy of images that projected gradient ascent has made hard [Madry2018].

    Formula: -log p_y(x + d), d: `steps` steps of ascent on it in the ball |d| <= e
    Good for: attacks of the same norm; alone, or with `cross_entropy: {on: clean}` for a share of
        clean images. Published for CIFAR-10: linf with e = 8/255, 7 steps of 2/255; l2 with
        e = 0.5.
    Deviates: the attack sees running statistics in place of those of the batch. Its start is also
        uniform in an l2 ball.
    """

    cost: ClassVar[str | None] = "`steps` + 1"
    kind: Literal["pgd"] = "pgd"
    random_start: bool = True  # whether the attack starts at a random place in the ball

    @property
    def views(self) -> Views:
        """None: the term looks at attacked images, which it makes."""
        return ()

    def of_step(self, step: StepContext) -> Tensor:
        """Return the mean cross-entropy of the attacked images, in nats."""
        from torch.nn import functional

        from tunebox.metrics.attacks import ascend

        def losses(images: Tensor) -> Tensor:
            logits = step.forward(images, batch_norm="frozen").logits
            return functional.cross_entropy(logits, step.labels, reduction="none")

        images, ball = step.images["clean"], self.ball
        start = images
        if self.random_start:
            start = (images + ball.draw(images, step.generator)).clamp(0, 1)
        attacked = ascend(
            losses, images, start, ball, step_size=self.step_length, num_steps=self.steps
        )
        return functional.cross_entropy(step.forward(attacked).logits, step.labels)


class TradesSettings(AttackSettings):
    """Attacked images should have the prediction of the clean ones [Zhang2019].

    Formula: KL(p(x) || p(x + d)), d: `steps` steps of ascent on it in the ball |d| <= e
    Good for: attacks of the same norm beside `cross_entropy: {on: clean}`; the weight trades clean
        accuracy for robustness. Published for CIFAR-10: weight 6, linf with e = 0.031, 10 steps of
        0.007. With noise in place of the attack it is `stability: {distance: kl}`.
    Deviates: where a gradient is 0 an attack in the l2 ball stays, instead of a random direction.
    """

    cost: ClassVar[str | None] = "1 + `steps` + 1, and 1 without backward"
    kind: Literal["trades"] = "trades"
    steps: int = Field(10, ge=1, le=100)  # of the attack

    @property
    def views(self) -> Views:
        """The views that the term looks at, beside attacked images, which it makes."""
        return ("clean",)

    def of_step(self, step: StepContext) -> Tensor:
        """Return the mean divergence, in nats; the gradient flows through both predictions."""
        import torch
        from torch.nn import functional

        from tunebox.losses.agreement import divergence
        from tunebox.metrics.attacks import ascend, normal_like

        images = step.images["clean"]
        with torch.no_grad():
            p = functional.softmax(step.forward(images, batch_norm="frozen").logits, dim=1)

        def losses(points: Tensor) -> Tensor:
            log_q = functional.log_softmax(step.forward(points, batch_norm="frozen").logits, dim=1)
            return functional.kl_div(log_q, p, reduction="none").sum(dim=1)

        start = (images + _TRADES_START * normal_like(images, step.generator)).clamp(0, 1)
        attacked = ascend(
            losses, images, start, self.ball, step_size=self.step_length, num_steps=self.steps
        )
        return divergence(step.clean.logits, step.forward(attacked).logits)

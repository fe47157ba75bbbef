"""Training of smoothed classifiers; the mathematics is in `tunebox.losses.smoothing`.

[Jeong2021] J. Jeong et al. SmoothMix: Training Confidence-calibrated Smoothed Classifiers for
    Certified Robustness. NeurIPS 2021. arXiv 2111.09277.
[Salman2019] H. Salman et al. Provably Robust Deep Learning via Adversarially Trained Smoothed
    Classifiers. NeurIPS 2019. arXiv 1906.04584.
[Zhai2020] R. Zhai et al. MACER: Attack-free and Scalable Robust Training via Maximizing Certified
    Radius. ICLR 2020. arXiv 2001.02378.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import Family, TermContext, TermSettings, Views, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.base import LossTerm
    from tunebox.losses.context import StepContext


class CopiesSettings(TermSettings):
    """Settings of a term of several noisy copies of each image."""

    family: ClassVar[Family] = "smoothing"
    copies: int = Field(2, ge=1, le=16)  # m, noisy copies of each image

    @property
    def views(self) -> Views:
        """The views that the term looks at."""
        return ("noisy",)

    @property
    def num_copies(self) -> int:
        """How many noisy copies of each image the term needs."""
        return self.copies


class MacerSettings(CopiesSettings):
    """A large certified radius where the smoothed classifier is right [Zhai2020].

    Formula: -log q_y + l (s/2) max(g - r, 0) where argmax q' = y, q = mean_j p_j,
        q' = mean_j softmax(b z_j), r = Phi^-1(q'_1) - Phi^-1(q'_2) of its two largest values
    Good for: certified accuracy under Gaussian noise of standard deviation s, alone. Published for
        CIFAR-10: m = 16, b = 16, g = 8, l = 12 for s = 0.25, 4 for 0.5; for 1 0 at first, then 12.
    Deviates: no. s is that of `losses/noise`.
    """

    min_classes: ClassVar[int] = 2
    needs_gaussian: ClassVar[bool] = True
    cost: ClassVar[str | None] = "`copies`"
    kind: Literal["macer"] = "macer"
    copies: int = Field(16, ge=1, le=16)  # m, noisy copies of each image
    radius_weight: Weight = 12.0  # l
    beta: float = Field(16.0, gt=0, le=1000)  # b, sharpens the predictions of the radius
    gamma: float = Field(8.0, gt=0, le=100)  # g, wanted radius in units of s/2

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm
        from tunebox.losses.smoothing import copies_of, macer_loss

        std = context.noise_std
        assert std is not None
        return FunctionTerm(
            lambda step: macer_loss(
                copies_of(step, self.copies),
                step.labels,
                std=std,
                factor=self.radius_weight,
                beta=self.beta,
                gamma=self.gamma,
            )
        )


class AttackedCopiesSettings(CopiesSettings):
    """Settings of a term that attacks the prediction averaged over fixed noises."""

    needs_same_view: ClassVar[bool] = True
    # share of the training in which the term grows linearly
    warmup: float = Field(0.1, ge=0, le=1)

    @property
    def image_views(self) -> Views:
        """The views whose images the term needs."""
        return ("clean", "noisy")

    def build(self, context: TermContext) -> LossTerm:
        """Return the term."""
        from tunebox.losses.base import FunctionTerm

        return FunctionTerm(self.of_step)

    def of_step(self, step: StepContext) -> Tensor:
        """Return the term, a scalar."""
        raise NotImplementedError

    def grown(self, progress: float) -> float:
        """Return the share, in [0, 1], that the term has grown to."""
        return min(1.0, progress / self.warmup) if self.warmup else 1.0

    def attacked(
        self, step: StepContext, noises: Tensor, radius: float, length: float, num_steps: int
    ) -> Tensor:
        """Return clean images moved so that the mean probability of the label falls, constant.

        Args:
            step: The step of the batch.
            noises: ``(M, B, C, H, W)``.
            radius: Of the L2 ball around the images.
            length: Of a step.
            num_steps: How many steps.
        """
        from tunebox.losses.smoothing import logits_at, mean_probability_losses
        from tunebox.metrics.attacks import Ball, ascend

        def losses(points: Tensor) -> Tensor:
            logits = logits_at(step, points, noises, "frozen")
            return mean_probability_losses(logits, step.labels)

        images = step.images["clean"]
        ball = Ball("l2", radius)
        return ascend(losses, images, images, ball, step_size=length, num_steps=num_steps)


class SmoothAdvSettings(AttackedCopiesSettings):
    """Cross-entropy of noisy copies after an attack of their mean prediction [Salman2019].

    Formula: mean_j -log p_y(x + d + n_j), d: `steps` steps of 2e/`steps` along the unit gradient of
        -log mean_j p_y(x + d + n_j) in the ball ||d||_2 <= e, with the same noises n_j
    Good for: certified accuracy under Gaussian noise, alone. Published: e of 0.25 to 2, m of 1 to
        8, 2 or 10 steps, e growing over the first 10 of 150 epochs.
    Deviates: an image without a gradient is not moved, instead of at random.
    """

    cost: ClassVar[str | None] = "`copies` (`steps` + 1)"
    kind: Literal["smooth_adv"] = "smooth_adv"
    epsilon: float = Field(gt=0, le=100)  # e, radius of the ball, in units of the pixel range
    steps: int = Field(10, ge=1, le=100)  # of the attack

    @property
    def views(self) -> Views:
        """None: the term looks at attacked copies, which it makes."""
        return ()

    def of_step(self, step: StepContext) -> Tensor:
        """Return the mean cross-entropy, in nats."""
        from tunebox.losses.smoothing import copy_losses, logits_at, noises_of

        noises = noises_of(step, self.copies)
        radius = self.epsilon * self.grown(step.progress)
        points = self.attacked(step, noises, radius, 2 * radius / self.steps, self.steps)
        return copy_losses(logits_at(step, points, noises), step.labels).mean()


class SmoothMixSettings(AttackedCopiesSettings):
    """Between an image and its attack, predictions should become undecided [Jeong2021].

    Formula: mean_j KL(t || p(x_mix + n_j)) where argmax q = y, q = mean_j p(x + n_j), t = (1 - l) q
        + l/C, x_mix = (1 - l) x + l x_adv, l uniform in (0, 1/2); x_adv: `steps` steps of length a
        along the unit gradient of -log q_y
    Good for: certified accuracy under Gaussian noise, beside `cross_entropy: {on: noisy}`.
        Published for CIFAR-10: weight 5, m = 2, 4 steps, a = 0.5, 1, 2 for noise of 0.25, 0.5, 1,
        the weight growing over 10 epochs.
    Deviates: the clean side is the image; the variant of one step of attack on it is left out.
    """

    cost: ClassVar[str | None] = "`copies` (`steps` + 2)"
    weight: Weight = 5.0
    kind: Literal["smooth_mix"] = "smooth_mix"
    steps: int = Field(4, ge=1, le=100)  # of the attack
    step_size: float = Field(0.5, gt=0, le=100)  # a, in units of the pixel range

    def of_step(self, step: StepContext) -> Tensor:
        """Return the mean divergence of the images that are right, in nats."""
        import math

        import torch

        from tunebox.losses.smoothing import copies_of, copy_divergences, logits_at, noises_of

        noises, images = noises_of(step, self.copies), step.images["clean"].detach()
        mean = copies_of(step, self.copies).softmax(dim=2).mean(dim=0)
        points = self.attacked(step, noises, math.inf, self.step_size, self.steps)
        shares = torch.rand(
            (len(images), 1, 1, 1),
            generator=step.generator,
            dtype=images.dtype,
            device=images.device,
        )
        shares = shares / 2
        mixed = images + shares * (points - images)
        targets = mixed_targets(mean, shares.flatten())
        apart = copy_divergences(targets, logits_at(step, mixed, noises)).mean(dim=0)
        right = mean.argmax(dim=1) == step.labels
        return self.grown(step.progress) * (apart * right).mean()


def mixed_targets(mean: Tensor, shares: Tensor) -> Tensor:
    """Return predictions ``(B, C)`` moved towards the uniform one by the shares ``(B,)``."""
    shares = shares.unsqueeze(1)
    return (1 - shares) * mean + shares / mean.shape[1]

"""Training along a chain of images; the mathematics is in `tunebox.losses.langevin`.

[Jagatap2022] G. Jagatap et al. Adversarially Robust Learning via Entropic Regularization. Frontiers
    in AI 2022. arXiv 2008.12338.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tunebox.losses.settings import Views
from tunebox.losses.terms.adversarial import AttackSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.losses.context import StepContext


class AtentSettings(AttackSettings):
    """Cross-entropy averaged over a noisy chain of images that climbs it [Jagatap2022].

    Formula: sum_l a (1 - a)^(L - l) (-log p_y(x_l)), x_l = x_(l-1) + s v + n sqrt(2 s) N(0, 1),
        v = sign g or g / ||g||, g = d(-log p_y) / dx; l2: + k (x - x_(l-1))
    Good for: attacks of the same norm, alone. Published for CIFAR-10: linf with e = 0.031, 10 steps
        of 0.007, n = 0.001; l2 with e = 0.435, 20 steps of e/40, n = 0.577, k = 0.05.
    Deviates: one forward gives the loss of an image and the step to the next one.
    """

    cost: ClassVar[str | None] = "`steps` + 1, with `steps` backwards to the images more"
    kind: Literal["atent"] = "atent"
    steps: int = Field(10, ge=1, le=100)  # L, of the chain
    step_size: float | None = Field(None, gt=0, le=100)  # s; null: epsilon / (2 steps)
    noise: float = Field(0.001, ge=0, le=100)  # n
    pull: float = Field(0.05, ge=0, le=1)  # k, share of the way back to the image, for l2
    average: float = Field(0.9, gt=0, le=1)  # a; 1: the last image alone, with one graph in memory

    @property
    def step_length(self) -> float:
        """Norm of a step of the chain, in units of the pixel range."""
        return 0.5 * self.epsilon / self.steps if self.step_size is None else self.step_size

    @property
    def views(self) -> Views:
        """None: the term looks at images of the chain."""
        return ()

    def of_step(self, step: StepContext) -> Tensor:
        """Return the average of the mean cross-entropies, in nats."""
        from torch.nn import functional

        from tunebox.losses.langevin import Chain, chain_loss

        def loss(images: Tensor) -> Tensor:
            return functional.cross_entropy(step.forward(images).logits, step.labels)

        return chain_loss(
            loss,
            step.images["clean"],
            Chain(self.ball, self.step_length, self.noise, self.pull),
            num_steps=self.steps,
            average=self.average,
            generator=step.generator,
        )

"""Accuracy and loss under a gradient attack.

[Madry2018] A. Madry et al. Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR
    2018. arXiv 1706.06083.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.metrics.attacks import Ball, ascend
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import ModelMetricSettings, Norm
from tunebox.settings import MOST_IMAGES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.metrics.metric import Batch, Model


class PgdSettings(ModelMetricSettings):
    """Accuracy and loss on images that an attack of ``steps`` gradient steps has changed.

    An attack that fails proves nothing: against stronger ones the accuracy is lower [Madry2018].
    """

    kind: Literal["pgd"]
    images: int | None = Field(200, ge=1, le=MOST_IMAGES)  # number of images used; null: all
    norm: Norm = "linf"
    epsilon: float = Field(8 / 255, gt=0, le=100)  # largest change, in units of the pixel range
    steps: int = Field(10, ge=1, le=10_000)  # each costs a forward and a backward pass
    step_size: float | None = Field(None, gt=0, le=100)  # null: 2.5 * epsilon / steps
    random_start: bool = True  # start at a random point within epsilon of the image

    reported = (
        Metric(
            "pgd_accuracy",
            "share of images classified correctly, attacked by PGD or not",
            "share",
            "maximize",
            (0.0, 1.0),
        ),
        Metric("pgd_loss", "mean cross-entropy on images attacked by PGD", "nats", "minimize"),
    )

    def measure(self, model: Model, batches: Sequence[Batch], seed: int) -> dict[str, float]:
        """Return ``pgd_accuracy`` and ``pgd_loss``.

        Args:
            model: In evaluation mode.
            batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
            seed: Random seed of the start.
        """
        import torch
        from torch.nn import functional

        generator = torch.Generator(batches[0][0].device).manual_seed(seed)
        right, losses = [], []
        for images, labels in batches:
            attacked = self.attack(model, images, labels, generator)
            with torch.no_grad():
                logits = model(attacked)
                unchanged = model(images)
            stands = (logits.argmax(dim=1) == labels) & (unchanged.argmax(dim=1) == labels)
            right.append(stands.double())
            losses.append(functional.cross_entropy(logits, labels, reduction="none").double())
        return {
            "pgd_accuracy": float(torch.cat(right).mean()),
            "pgd_loss": float(torch.cat(losses).mean()),
        }

    def attack(
        self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the attacked images, ``(B, C, H, W)`` in [0, 1]."""
        from torch.nn import functional

        ball, start = Ball(self.norm, self.epsilon), images
        if self.random_start:
            start = (images + ball.draw(images, generator)).clamp(0, 1)
        return ascend(
            lambda at: functional.cross_entropy(model(at), labels, reduction="none"),
            images,
            start,
            ball,
            step_size=self.step_size or 2.5 * self.epsilon / self.steps,
            num_steps=self.steps,
        )

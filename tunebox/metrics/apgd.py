"""Accuracy under an attack that chooses its step sizes itself.

[Croce2020] F. Croce and M. Hein. Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks. ICML 2020. arXiv 2003.01690. APGD on cross-entropy, the first of
    its four attacks; the other three are not here.

Shapes: B images ``(B, C, H, W)`` in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.metrics.attacks import random_offset, steepest, within
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import ModelMetricSettings, Norm
from tunebox.settings import MOST_IMAGES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.metrics.metric import Batch, Model

_MOMENTUM = 0.25  # share of the last move in a step
_SUCCESSES = 0.75  # share of steps that raise the loss, at or below which the step is halved


class ApgdSettings(ModelMetricSettings):
    """Accuracy under APGD on cross-entropy, the first attack of AutoAttack [Croce2020].

    Stronger than ``pgd`` at the same number of steps. AutoAttack as a whole is stronger still.
    """

    kind: Literal["apgd"]
    images: int | None = Field(200, ge=1, le=MOST_IMAGES)  # number of images used; null: all
    norm: Norm = "linf"
    epsilon: float = Field(8 / 255, gt=0, le=100)  # largest change, in units of the pixel range
    steps: int = Field(20, ge=1, le=10_000)  # each costs a forward and a backward pass

    reported = (
        Metric(
            "apgd_accuracy",
            "share of images classified correctly, attacked by APGD or not",
            "share",
            "maximize",
            (0.0, 1.0),
        ),
    )

    def measure(self, model: Model, batches: Sequence[Batch], seed: int) -> dict[str, float]:
        """Return ``apgd_accuracy``.

        Args:
            model: In evaluation mode.
            batches: Images ``(B, C, H, W)`` in [0, 1] and labels, on the device of the model.
            seed: Random seed of the start.
        """
        import torch

        generator = torch.Generator(batches[0][0].device).manual_seed(seed)
        stands = []
        for images, labels in batches:
            attacked = attack(
                model,
                images,
                labels,
                norm=self.norm,
                epsilon=self.epsilon,
                steps=self.steps,
                generator=generator,
            )
            with torch.no_grad():
                right = (model(at).argmax(dim=1) == labels for at in (images, attacked))
                stands.append(torch.stack(list(right)).all(dim=0).double())
        return {"apgd_accuracy": float(torch.cat(stands).mean())}


def attack(
    logits_of: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    norm: Norm,
    epsilon: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Return images within ``epsilon`` that are misclassified, or have the highest loss found.

    Args:
        logits_of: Images to logits ``(B, K)``; images must not interact.
        images: Not changed.
        labels: ``(B,)``.
        norm: In which ``epsilon`` is measured.
        epsilon: Largest distance, in units of the pixel range.
        steps: Number of steps.
        generator: Draws the start.
    """
    import torch

    def project(moved: Tensor) -> Tensor:
        return (images + within(moved - images, norm, epsilon)).clamp(0, 1)

    start = random_offset(images, norm, epsilon, generator)
    at = before = project(images + epsilon * steepest_start(start, norm))
    loss, slope, wrong = _look(logits_of, at, labels)
    found = _where(wrong, at, images)
    best, best_loss, best_slope = at, loss, slope
    size = torch.full_like(loss, 2 * epsilon)
    rises = torch.zeros_like(loss)
    was_halved, last_best = torch.ones_like(wrong), best_loss.clone()
    ends, first = set(checkpoints(steps)), 0
    for step in range(steps):
        ahead = project(at + size.view(-1, 1, 1, 1) * steepest(slope, norm))
        momentum = _MOMENTUM if step > 0 else 0.0
        moved = project(at + (1 - momentum) * (ahead - at) + momentum * (at - before))
        before, at = at, moved
        new_loss, slope, wrong = _look(logits_of, at, labels)
        rises += new_loss > loss
        loss = new_loss
        found = _where(wrong, at, found)
        better = loss > best_loss
        best, best_slope = _where(better, at, best), _where(better, slope, best_slope)
        best_loss = torch.where(better, loss, best_loss)
        if step + 1 in ends:
            too_few = rises <= _SUCCESSES * (step + 1 - first)
            halved = too_few | (~was_halved & (best_loss <= last_best))
            size = torch.where(halved, size / 2, size)
            at, slope = _where(halved, best, at), _where(halved, best_slope, slope)
            loss = torch.where(halved, best_loss, loss)
            before = _where(halved, best, before)
            was_halved, last_best = halved, best_loss.clone()
            rises, first = torch.zeros_like(rises), step + 1
    never = (found == images).flatten(1).all(dim=1)
    return _where(never, best, found)


def steepest_start(offset: Tensor, norm: Norm) -> Tensor:
    """Return a random offset stretched to length 1 in ``norm``."""
    if norm == "l2":
        return steepest(offset, "l2")
    return offset / offset.flatten(1).abs().amax(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)


def checkpoints(steps: int) -> list[int]:
    """Return after which steps the step sizes are looked at [Croce2020].

    The first interval has 22 % of the steps, each further one 3 % of all less, but 6 % at least.
    """
    interval, fewer, least = (max(1, int(share * steps)) for share in (0.22, 0.03, 0.06))
    found = []
    at = interval
    while at <= steps:
        found.append(at)
        interval = max(interval - fewer, least)
        at += interval
    return found


def _look(
    logits_of: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return each image's loss, its gradient, and whether the prediction is wrong."""
    import torch
    from torch.nn import functional

    with torch.enable_grad():
        at = images.detach().requires_grad_()
        logits = logits_of(at)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        (slope,) = torch.autograd.grad(losses.sum(), at)
    return losses.detach(), slope, logits.detach().argmax(dim=1) != labels


def _where(chosen: Tensor, images: Tensor, others: Tensor) -> Tensor:
    import torch

    return torch.where(chosen.view(-1, 1, 1, 1), images, others)

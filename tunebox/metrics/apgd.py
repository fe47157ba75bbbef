"""Accuracy under attacks that choose their step sizes themselves.

[Croce2020] F. Croce and M. Hein. Reliable evaluation of adversarial robustness with an ensemble of
    diverse parameter-free attacks. ICML 2020. arXiv 2003.01690. APGD on cross-entropy and targeted
    APGD are the first two of its four attacks; FAB and Square are not here.

Shapes: B images ``(B, C, H, W)`` in [0, 1], K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.metrics.attacks import Ball
from tunebox.metrics.metric import Metric
from tunebox.metrics.settings import ModelMetricSettings, Norm
from tunebox.settings import MOST_IMAGES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.metrics.metric import Batch, Model

    LossOf = Callable[[Tensor], Tensor]  # logits (B, K) to a loss of each image, (B,)

_MOMENTUM = 0.25  # share of the last move in a step
_SUCCESSES = 0.75  # share of steps that raise the loss, at or below which the step is halved


class ApgdSettings(ModelMetricSettings):
    """Accuracy under the APGD attacks of AutoAttack, the worst of them [Croce2020].

    On cross-entropy, and for ``targets`` above 0 towards that many other classes, the most probable
    ones first. Stronger than ``pgd`` at the same number of steps. AutoAttack has 9 targets, 100
    steps and two more attacks.
    """

    kind: Literal["apgd"]
    images: int | None = Field(200, ge=1, le=MOST_IMAGES)  # number of images used; null: all
    norm: Norm = "linf"
    epsilon: float = Field(8 / 255, gt=0, le=100)  # largest change, in units of the pixel range
    steps: int = Field(20, ge=1, le=10_000)  # each costs a forward and a backward pass
    targets: int = Field(0, ge=0, le=1000)  # other classes that are aimed at, each for all steps

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
            seed: Random seed of the starts.
        """
        import torch

        generator = torch.Generator(batches[0][0].device).manual_seed(seed)
        stands = [self._stand(model, images, labels, generator) for images, labels in batches]
        return {"apgd_accuracy": float(torch.cat(stands).double().mean())}

    def _stand(
        self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return which images no attack makes wrong, ``(B,)``; each sees what still stands."""
        import torch

        with torch.no_grad():
            logits = model(images)
        stands = logits.argmax(dim=1) == labels
        ranked = logits.argsort(dim=1, descending=True)
        ball = Ball(self.norm, self.epsilon)
        for number in range(1 + min(self.targets, logits.shape[1] - 1)):
            places = stands.nonzero()[:, 0]
            if len(places) == 0:
                break
            left = labels[places]
            loss_of = cross_entropies(left)
            if number > 0:
                loss_of = targeted_losses(left, ranked[places, number])
            attacked = attack(
                model,
                images[places],
                left,
                loss_of,
                ball,
                num_steps=self.steps,
                generator=generator,
            )
            with torch.no_grad():
                stands[places] = model(attacked).argmax(dim=1) == left
        return stands


def cross_entropies(labels: Tensor) -> LossOf:
    """Return the cross-entropy of each image, in nats, as a function of the logits."""
    from torch.nn import functional

    return lambda logits: functional.cross_entropy(logits, labels, reduction="none")


def targeted_losses(labels: Tensor, targets: Tensor) -> LossOf:
    """Return the targeted DLR loss of each image as a function of the logits [Croce2020].

    ``-(z_y - z_t) / (z_1 - (z_3 + z_4) / 2)``, with the logits of label and target and the first,
    third and fourth largest one. The quotient does not change with the scale of the logits. With
    three classes, the third largest logit stands for the fourth; with two, nothing is divided.

    Args:
        labels: ``(B,)``.
        targets: ``(B,)``, other classes.
    """

    def losses(logits: Tensor) -> Tensor:
        own, aimed = (logits.gather(1, of.unsqueeze(1)).squeeze(1) for of in (labels, targets))
        if logits.shape[1] < 3:
            return aimed - own
        top = logits.topk(min(4, logits.shape[1]), dim=1).values
        spread = top[:, 0] - (top[:, 2] + top[:, -1]) / 2
        found: Tensor = (aimed - own) / (spread + 1e-12)
        return found

    return losses


def attack(
    logits_of: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    loss_of: LossOf,
    ball: Ball,
    *,
    num_steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Return images in the ball that are misclassified, or have the highest loss found.

    Args:
        logits_of: Images to logits ``(B, K)``; images must not interact.
        images: Not changed.
        labels: ``(B,)``.
        loss_of: Logits to what is made large for each image, ``(B,)``.
        ball: The allowed perturbations.
        num_steps: Number of steps.
        generator: Draws the start.
    """
    import torch

    def look(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return each image's loss, its gradient, and whether the prediction is wrong."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            logits = logits_of(points)
            losses = loss_of(logits)
            (slope,) = torch.autograd.grad(losses.sum(), points)
        return losses.detach(), slope, logits.detach().argmax(dim=1) != labels

    at = before = ball.around(images, images + ball.draw_edge(images, generator))
    loss, slope, wrong = look(at)
    found = _where(wrong, at, images)
    best, best_loss, best_slope = at, loss, slope
    size = torch.full_like(loss, 2 * ball.radius)
    rises = torch.zeros_like(loss)
    was_halved, last_best = torch.ones_like(wrong), best_loss.clone()
    ends, first = set(checkpoints(num_steps)), 0
    for step in range(num_steps):
        ahead = ball.around(images, at + size.view(-1, 1, 1, 1) * ball.direction(slope))
        momentum = _MOMENTUM if step > 0 else 0.0
        moved = at + (1 - momentum) * (ahead - at) + momentum * (at - before)
        before, at = at, ball.around(images, moved)
        new_loss, slope, wrong = look(at)
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


def checkpoints(num_steps: int) -> list[int]:
    """Return after which steps the step sizes are looked at [Croce2020].

    The first interval has 22 % of the steps, each further one 3 % of all less, but 6 % at least.
    """
    interval, fewer, least = (max(1, int(share * num_steps)) for share in (0.22, 0.03, 0.06))
    found = []
    at = interval
    while at <= num_steps:
        found.append(at)
        interval = max(interval - fewer, least)
        at += interval
    return found


def _where(chosen: Tensor, images: Tensor, others: Tensor) -> Tensor:
    import torch

    return torch.where(chosen.view(-1, 1, 1, 1), images, others)

"""A chain of images that climbs the loss with noise [Jagatap2022].

[Jagatap2022] G. Jagatap et al. Adversarially Robust Learning via Entropic Regularization. Frontiers
    in AI 2022. arXiv 2008.12338.

Shapes: B images of shape ``...``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tunebox.metrics.attacks import Ball, normal_like


@dataclass(frozen=True)
class Chain:
    """How the images of a chain follow each other.

    Attributes:
        ball: Where the chain starts; with ``linf`` also where it ends.
        step_size: Norm of a step along the gradient, in units of the pixel range.
        noise: Factor of the normal values, which have the standard deviation
            ``sqrt(2 step_size)``.
        pull: Share of the way back to the image in each step; for ``l2`` alone.
    """

    ball: Ball
    step_size: float
    noise: float
    pull: float

    def start(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the first images: at random corners of the ball, or on its surface."""
        drawn = normal_like(images, generator)
        if self.ball.norm == "linf":
            return images + self.ball.radius * drawn.sign()
        return images + self.ball.project(drawn)

    def follow(
        self, points: Tensor, gradient: Tensor, images: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the images after ``points``, in [0, 1]."""
        moved = points + self.step_size * self.ball.direction(gradient)
        if self.ball.norm == "l2":
            moved = moved + self.pull * (images - points)
        spread = self.noise * math.sqrt(2 * self.step_size)
        return (moved + spread * normal_like(points, generator)).clamp(0, 1)


def chain_loss(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    chain: Chain,
    *,
    num_steps: int,
    average: float,
    generator: torch.Generator,
) -> Tensor:
    """Return the exponential average of the loss along a chain, the last image counting most.

    Args:
        loss: Images ``(B, ...)`` to the mean of a loss of each image.
        images: ``(B, ...)``, in [0, 1].
        chain: How the images follow each other.
        num_steps: L >= 1; the loss after step l counts ``a (1 - a)^(L - l)``.
        average: a, in (0, 1]; 1 is the last image alone.
        generator: On the device of the images.
    """
    images = images.detach()
    points = chain.start(images, generator)
    total = images.new_zeros(())
    for number in range(num_steps):
        points = points.detach().requires_grad_()
        value = loss(points)
        weight = average * (1 - average) ** (num_steps - number) if number else 0.0
        [gradient] = torch.autograd.grad(value, [points], retain_graph=weight > 0)
        if weight > 0:
            total = total + weight * value
        points = chain.follow(points.detach(), gradient, images, generator)
    if chain.ball.norm == "linf":
        points = images + chain.ball.project(points - images)
    return total + average * loss(points)

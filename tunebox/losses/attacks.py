"""Perturbations of images that make a loss large, as training needs them.

Shapes: B images ``(B, C, H, W)``. A ball is a set of perturbations around an image that are small
in the L-infinity or the L2 norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tunebox.metrics import attacks
from tunebox.metrics.attacks import random_offset, steepest, within
from tunebox.metrics.settings import Norm


@dataclass(frozen=True)
class Ball:
    """Perturbations whose norm is at most ``radius``.

    Attributes:
        norm: ``linf`` is the largest absolute value, ``l2`` the Euclidean length of an image.
        radius: In units of the pixel range, >= 0.
    """

    norm: Norm
    radius: float

    def direction(self, slope: Tensor) -> Tensor:
        """Return the step of norm 1 that follows ``slope`` most; 0 where that is 0."""
        return steepest(slope, self.norm)

    def project(self, perturbation: Tensor) -> Tensor:
        """Return the nearest perturbation in the ball."""
        return within(perturbation, self.norm, self.radius)

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a perturbation of each image that is uniform in the ball."""
        return random_offset(images, self.norm, self.radius, generator)


def ascend(
    losses_of: Callable[[Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    ball: Ball,
    *,
    step_size: float,
    num_steps: int,
) -> Tensor:
    """Return images in the ball around ``images`` at which the losses are larger.

    Projected gradient ascent from any start. After each step the perturbation is projected to the
    ball and the image cut to [0, 1], which leaves it in the ball. The result carries no gradient.

    Args:
        losses_of: Images to a loss of each, ``(B,)``.
        images: In [0, 1].
        start: Images where the ascent starts.
        ball: The allowed perturbations.
        step_size: Norm of a step, in units of the pixel range.
        num_steps: At least 0.
    """
    return attacks.ascend(
        losses_of,
        images,
        start,
        norm=ball.norm,
        epsilon=ball.radius,
        steps=num_steps,
        step_size=step_size,
    )


def normal_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal values of the shape of ``images``."""
    return torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)

"""Perturbations of images that make a loss large.

Shapes: B images of shape ``...``. A ball is a set of perturbations around an image that are small
in the L-infinity or the L2 norm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Norm: TypeAlias = Literal["linf", "l2"]
_SMALL = 1e-12  # added to the length of a gradient, so that one of 0 gives no direction


@dataclass(frozen=True)
class Ball:
    """Perturbations whose norm is at most ``radius``.

    Attributes:
        norm: ``linf`` is the largest absolute value, ``l2`` the Euclidean length of an image.
        radius: In units of the pixel range, >= 0.
    """

    norm: Norm
    radius: float

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the step of norm 1 that follows ``gradient`` most; 0 where that is 0."""
        return gradient.sign() if self.norm == "linf" else unit_images(gradient)

    def project(self, perturbation: Tensor) -> Tensor:
        """Return the nearest perturbation in the ball."""
        if self.norm == "linf":
            return perturbation.clamp(-self.radius, self.radius)
        lengths = image_norms(perturbation)
        return perturbation * (self.radius / lengths.clamp(min=_SMALL)).clamp(max=1)

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random perturbation of each image.

        For ``linf`` it is uniform in the ball; for ``l2`` the direction and the length are uniform.
        """
        uniform = _uniform_like(images, generator)
        if self.norm == "linf":
            return self.radius * (2 * uniform - 1)
        directions = unit_images(normal_like(images, generator))
        return directions * (self.radius * uniform.flatten(1)[:, 0]).view(_per_image(images))


def ascend(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    ball: Ball,
    *,
    step_size: float,
    num_steps: int,
) -> Tensor:
    """Return images in the ball around ``images`` at which ``objective`` is larger.

    Projected gradient ascent. After each step the perturbation is projected to the ball and the
    image cut to [0, 1], which leaves it in the ball. The result carries no gradient.

    Args:
        objective: Images ``(B, ...)`` to a scalar, the sum of a value of each image.
        images: ``(B, ...)``, in [0, 1].
        start: ``(B, ...)``, where the ascent starts.
        ball: The allowed perturbations.
        step_size: Norm of a step, in units of the pixel range.
        num_steps: At least 0.
    """
    images, points = images.detach(), start.detach()
    for _ in range(num_steps):
        step = step_size * ball.direction(gradient_at(objective, points))
        points = (images + ball.project(points + step - images)).clamp(0, 1)
    return points


def gradient_at(objective: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Return the gradient of the scalar ``objective`` with respect to ``points``, as a constant."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        [gradient] = torch.autograd.grad(objective(points), [points])
    return gradient


def image_norms(images: Tensor) -> Tensor:
    """Return the Euclidean length of each image, ``(B, 1, ..., 1)``."""
    lengths: Tensor = torch.linalg.vector_norm(images.flatten(1), dim=1)
    return lengths.view(_per_image(images))


def unit_images(images: Tensor) -> Tensor:
    """Return each image divided by its Euclidean length; an image of zeros stays so."""
    return images / (image_norms(images) + _SMALL)


def normal_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal values of the shape of ``images``."""
    return torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)


def _uniform_like(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(images.shape, generator=generator, dtype=images.dtype, device=images.device)


def _per_image(images: Tensor) -> tuple[int, ...]:
    return (-1, *[1] * (images.dim() - 1))

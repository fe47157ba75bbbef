"""Gradient attacks on the pixels of images, for training and for evaluation.

[Madry2018] A. Madry et al. Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR
    2018. arXiv 1706.06083.

Shapes: B images ``(B, C, H, W)`` in [0, 1]. A ball is a set of perturbations around an image that
are small in the L-infinity or the L2 norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.metrics.settings import Norm

    Losses = Callable[[Tensor], Tensor]  # images (B, C, H, W) to a loss of each, (B,)


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
        return slope.sign() if self.norm == "linf" else slope / _length(slope).clamp_min(1e-12)

    def project(self, perturbation: Tensor) -> Tensor:
        """Return the nearest perturbation in the ball."""
        if self.norm == "linf":
            return perturbation.clamp(-self.radius, self.radius)
        return perturbation * (self.radius / _length(perturbation).clamp_min(1e-12)).clamp(max=1)

    def around(self, images: Tensor, points: Tensor) -> Tensor:
        """Return ``points`` moved into the ball around ``images``, then cut to [0, 1].

        The cut leaves a point in the ball, since the images are in [0, 1] as well.
        """
        return (images + self.project(points - images)).clamp(0, 1)

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return a perturbation of each image that is uniform in the ball."""
        import torch

        def uniform(shape: Sequence[int]) -> Tensor:
            return torch.rand(shape, generator=generator, dtype=images.dtype, device=images.device)

        if self.norm == "linf":
            return self.radius * (2 * uniform(images.shape) - 1)
        direction = self.direction(normal_like(images, generator))
        share = uniform((len(images), 1, 1, 1)) ** (1 / images[0].numel())
        return self.radius * share * direction

    def draw_edge(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return such a perturbation, stretched to the norm ``radius``."""
        offset = self.draw(images, generator)
        if self.norm == "linf":
            largest = offset.flatten(1).abs().amax(dim=1).clamp_min(1e-12)
            return self.radius * offset / largest.view(-1, 1, 1, 1)
        return self.radius * self.direction(offset)


def ascend(
    losses_of: Losses,
    images: Tensor,
    start: Tensor,
    ball: Ball,
    *,
    step_size: float,
    num_steps: int,
) -> Tensor:
    """Return images in the ball around ``images`` and in [0, 1] at which the losses are larger.

    Projected gradient ascent [Madry2018]: ``num_steps`` steps along the sign of the gradient
    (L-inf) or along the gradient of length 1 (L2). The images must not interact in ``losses_of``.
    The result carries no gradient.

    Args:
        losses_of: Images to the loss of each, ``(B,)``.
        images: Not changed.
        start: Images where the ascent starts, in the ball.
        ball: The allowed perturbations.
        step_size: Norm of a step, in units of the pixel range.
        num_steps: Number of steps, each of which costs a forward and a backward.
    """
    images, attacked = images.detach(), start.detach()
    for _ in range(num_steps):
        slope = gradient(losses_of, attacked)
        attacked = ball.around(images, attacked + step_size * ball.direction(slope))
    return attacked


def gradient(losses_of: Losses, images: Tensor) -> Tensor:
    """Return the gradient of each image's loss; no gradient reaches the parameters."""
    import torch

    with torch.enable_grad():
        at = images.detach().requires_grad_()
        (slope,) = torch.autograd.grad(losses_of(at).sum(), at)
    return slope


def normal_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal values of the shape of ``images``."""
    import torch

    return torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)


def _length(offset: Tensor) -> Tensor:
    import torch

    lengths: Tensor = torch.linalg.vector_norm(offset.flatten(1), dim=1)
    return lengths.view(-1, 1, 1, 1)

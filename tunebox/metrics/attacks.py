"""Gradient attacks on the pixels of images.

[Madry2018] A. Madry et al. Towards Deep Learning Models Resistant to Adversarial Attacks. ICLR
    2018. arXiv 1706.06083.

Shapes: B images ``(B, C, H, W)`` in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.metrics.settings import Norm

    Losses = Callable[[Tensor], Tensor]  # images (B, C, H, W) to a loss of each, (B,)


def ascend(
    losses_of: Losses,
    images: Tensor,
    start: Tensor | None = None,
    *,
    norm: Norm,
    epsilon: float,
    steps: int,
    step_size: float,
) -> Tensor:
    """Return images within ``epsilon`` of ``images`` and in [0, 1] whose losses are higher.

    Projected gradient ascent [Madry2018]: ``steps`` steps along the sign of the gradient (L-inf)
    or along the gradient of length 1 (L2). The images must not interact in ``losses_of``.

    Args:
        losses_of: Images to the loss of each, ``(B,)``.
        images: Not changed.
        start: Images where the ascent starts, within ``epsilon``; None for ``images``.
        norm: In which ``epsilon`` and the steps are measured.
        epsilon: Largest distance, in units of the pixel range.
        steps: Number of steps, each of which costs a forward and a backward.
        step_size: Length of a step.
    """
    images = images.detach()
    attacked = images if start is None else start.detach()
    for _ in range(steps):
        slope = gradient(losses_of, attacked)
        moved = attacked + step_size * steepest(slope, norm)
        attacked = (images + within(moved - images, norm, epsilon)).clamp(0, 1)
    return attacked


def gradient(losses_of: Losses, images: Tensor) -> Tensor:
    """Return the gradient of each image's loss; no gradient reaches the parameters."""
    import torch

    with torch.enable_grad():
        at = images.detach().requires_grad_()
        (slope,) = torch.autograd.grad(losses_of(at).sum(), at)
    return slope


def steepest(slope: Tensor, norm: Norm) -> Tensor:
    """Return the direction of length 1 in ``norm`` along which a loss rises most."""
    return slope.sign() if norm == "linf" else slope / _length(slope).clamp_min(1e-12)


def within(offset: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """Return the nearest offset that is at most ``epsilon`` long in ``norm``."""
    if norm == "linf":
        return offset.clamp(-epsilon, epsilon)
    return offset * (epsilon / _length(offset).clamp_min(1e-12)).clamp(max=1)


def random_offset(images: Tensor, norm: Norm, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return an offset of each image that is uniform in the ball of radius ``epsilon``."""
    import torch

    def like(draw: Callable[..., Tensor], shape: Sequence[int]) -> Tensor:
        return draw(shape, generator=generator, dtype=images.dtype, device=images.device)

    if norm == "linf":
        return epsilon * (2 * like(torch.rand, images.shape) - 1)
    direction = steepest(like(torch.randn, images.shape), "l2")
    share = like(torch.rand, (len(images), 1, 1, 1)) ** (1 / images[0].numel())
    return epsilon * share * direction


def _length(offset: Tensor) -> Tensor:
    import torch

    lengths: Tensor = torch.linalg.vector_norm(offset.flatten(1), dim=1)
    return lengths.view(-1, 1, 1, 1)

"""Losses of classifiers that are averaged over noise.

[Jeong2021] J. Jeong et al. SmoothMix: Training Confidence-calibrated Smoothed Classifiers for
    Certified Robustness. NeurIPS 2021. arXiv 2111.09277.
[Jeong2023] J. Jeong, S. Kim and J. Shin. Confidence-aware Training of Smoothed Classifiers for
    Certified Robustness. AAAI 2023. arXiv 2212.09000.
[Salman2019] H. Salman et al. Provably Robust Deep Learning via Adversarially Trained Smoothed
    Classifiers. NeurIPS 2019. arXiv 1906.04584.
[Zhai2020] R. Zhai et al. MACER: Attack-free and Scalable Robust Training via Maximizing Certified
    Radius. ICLR 2020. arXiv 2001.02378.

Shapes: B images of shape ``...``, M noisy copies of each, K classes. Logits of copies are
``(M, B, K)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.losses.context import BatchNorm, StepContext
from tunebox.losses.labels import at_label
from tunebox.metrics.attacks import Ball, gradient
from tunebox.models.layers import unit_rows

_SMALLEST = 1e-20  # a probability below it counts as this


def copies_of(step: StepContext, num_copies: int) -> Tensor:
    """Return the logits of the first noisy copies that the step has, ``(M, B, K)``."""
    return torch.stack([view.logits for view in step.copies_of("noisy")[:num_copies]])


def noises_of(step: StepContext, num_copies: int) -> Tensor:
    """Return what the noise has added to the clean images, ``(M, B, ...)``."""
    return (torch.stack(step.noisy_images[:num_copies]) - step.images["clean"]).detach()


def logits_at(
    step: StepContext, points: Tensor, noises: Tensor, batch_norm: BatchNorm = "update"
) -> Tensor:
    """Return the logits of images with noises, ``(M, B, K)``, in one forward.

    Args:
        step: The step of the batch.
        points: ``(B, ...)``.
        noises: ``(M, B, ...)``.
        batch_norm: See `tunebox.losses.context.Forward`.
    """
    noisy = (points + noises).flatten(0, 1)
    logits = step.forward(noisy, batch_norm=batch_norm).logits
    return logits.view(*noises.shape[:2], -1)


def mean_probability_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``-log mean_j p_y`` of each image over its copies, ``(B,)``, in nats [Salman2019]."""
    log_p = functional.log_softmax(logits, dim=2)
    own = torch.stack([at_label(copy, labels) for copy in log_p])  # (M, B)
    return math.log(len(own)) - torch.logsumexp(own, dim=0)


def copy_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each copy, ``(M, B)``, in nats."""
    flat = functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat(len(logits)), reduction="none"
    )
    return flat.view(logits.shape[:2])


def copy_divergences(targets: Tensor, logits: Tensor) -> Tensor:
    """Return ``KL(t || p_j)`` of each copy, ``(M, B)``, in nats.

    Args:
        targets: ``(B, K)``, probabilities.
        logits: ``(M, B, K)``.
    """
    log_targets = targets.clamp(min=_SMALLEST).log()
    return (targets * (log_targets - functional.log_softmax(logits, dim=2))).sum(dim=2)


def macer_loss(
    logits: Tensor, labels: Tensor, *, std: float, factor: float, beta: float, gamma: float
) -> Tensor:
    """Return the loss of [Zhai2020]: cross-entropy of the mean, and a hinge on the radius.

    The hinge counts images that the smoothed classifier has right, with a radius that is finite
    and not beyond ``gamma``; they are chosen before anything is differentiated.

    Args:
        logits: ``(M, B, K)``, K >= 2.
        labels: ``(B,)``.
        std: Standard deviation of the noise, in units of the pixel range.
        factor: Weight of the hinge.
        beta: Factor of the logits in the estimate of the radius.
        gamma: Radius, in units of ``std`` / 2, from which on the hinge is 0.
    """
    own = at_label(functional.softmax(logits, dim=2).mean(dim=0), labels)
    top, classes = functional.softmax(beta * logits, dim=2).mean(dim=0).topk(2, dim=1)
    with torch.no_grad():
        radii = _quantile_gap(top)
        counts = (classes[:, 0] == labels) & radii.isfinite() & (radii.abs() <= gamma)
    # elsewhere constants, whose quantiles are finite: infinity times 0 would be NaN
    safe = torch.where(counts.unsqueeze(1), top, top.new_tensor(0.5))
    hinge = factor * std / 2 * counts * (gamma - _quantile_gap(safe))
    loss: Tensor = (hinge - (own + 1e-10).log()).mean()
    return loss


def _quantile_gap(top: Tensor) -> Tensor:
    quantiles: Tensor = torch.special.ndtri(top)
    return quantiles[:, 0] - quantiles[:, 1]


def confident_loss(losses: Tensor, counts: Tensor) -> Tensor:
    """Return the sum of the smallest losses of each image over the number of copies, ``(B,)``.

    The part of [Jeong2023] for images of low confidence.

    Args:
        losses: ``(M, B)``.
        counts: ``(B,)``, how many losses of each image count.
    """
    ranks = torch.arange(len(losses), device=losses.device).unsqueeze(1)
    counted = losses.sort(dim=0).values * (ranks < counts)
    return counted.mean(dim=0)


def attacked_noises(
    losses_of: Callable[[Tensor], Tensor], noises: Tensor, *, radius: float, num_steps: int
) -> Tensor:
    """Return noises near ``noises`` at which the losses are larger, and that look like noise.

    The attack of [Jeong2023]: steps of ``2 radius / num_steps`` along the unit gradient of each
    copy, projection to the L2 ball around its noise, then the mean and size of that noise.

    Args:
        losses_of: Noises ``(M, B, ...)`` to a loss of each, ``(M, B)``.
        noises: ``(M, B, ...)``.
        radius: Of the ball, in units of the pixel range.
        num_steps: At least 1.
    """
    ball, start = Ball("l2", radius), noises.detach().flatten(0, 1)
    current = start
    for _ in range(num_steps):
        slope = gradient(losses_of, current.view(noises.shape)).flatten(0, 1)
        moved = current + 2 * radius / num_steps * ball.direction(slope)
        current = restandardized(start + ball.project(moved - start), start)
    return current.view(noises.shape)


def restandardized(noises: Tensor, like: Tensor) -> Tensor:
    """Return noises ``(N, ...)`` with the mean and about the size of ``like``, ``(N, ...)``.

    ``mean(e0) + rms(e0) (e - mean(e)) / rms(e)``, over all pixels of an image. The root mean
    squares are about 0, so that the size is exact where both means are 0.
    """
    axes = tuple(range(1, noises.dim()))
    means, wanted = noises.mean(axes, keepdim=True), like.mean(axes, keepdim=True)
    sizes, size = (v.square().mean(axes, keepdim=True).sqrt() for v in (noises, like))
    return wanted + size * (noises - means) / torch.where(sizes > 0, sizes, 1)


def info_nce(
    features: Tensor, others: Tensor, temperature: float, labels: Tensor | None = None
) -> Tensor:
    """Return how badly each feature tells its partner from those of other images, ``(B,)``.

    ``logsumexp_b(cos(h_a, h'_b) / t) - cos(h_a, h'_a) / t``, >= 0.

    Args:
        features: ``(B, D)``.
        others: ``(B, D)``, partners in the same order.
        temperature: t, above 0.
        labels: ``(B,)``; if given, other images of the same class are left out of the sum.
    """
    scores = unit_rows(features) @ unit_rows(others).T / temperature
    own = scores.diagonal()
    if labels is not None:
        same = labels.unsqueeze(0) == labels.unsqueeze(1)
        same = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        scores = scores.masked_fill(same, float("-inf"))
    return torch.logsumexp(scores, dim=1) - own

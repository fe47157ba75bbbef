"""Chains of images that climb the loss: known steps, the published recursion."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.losses.linear_model import BIAS, CONTEXT, IMAGES, LABELS, WEIGHT, as_images, linear_step
from tests.losses.references import double
from tunebox.losses.langevin import Chain, chain_loss
from tunebox.losses.terms.atent import AtentSettings
from tunebox.metrics.attacks import Ball
from tunebox.metrics.settings import Norm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loss_of(pixels: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(pixels, WEIGHT, BIAS), LABELS)


def gradient_at(pixels: Tensor) -> Tensor:
    pixels = pixels.clone().requires_grad_()
    [gradient] = torch.autograd.grad(loss_of(pixels), [pixels])
    return gradient


def follow(chain: Chain, pixels: Tensor) -> Tensor:
    points, slope, images = map(as_images, (pixels, gradient_at(pixels), IMAGES))
    return chain.follow(points, slope, images, generator()).flatten(1)


def test_known_step_in_the_maximum_norm() -> None:
    chain = Chain(Ball("linf", 0.031), step_size=0.007, noise=0.0, pull=0.05)
    after = follow(chain, IMAGES)
    expected = double(
        [
            [0.193, 0.393, 0.593],
            [0.907, 0.093, 0.507],
            [0.307, 0.807, 0.107],
            [0.493, 0.507, 0.493],
        ]
    )
    torch.testing.assert_close(after, expected)


def test_known_step_in_the_euclidean_norm() -> None:
    chain = Chain(Ball("l2", 0.435), step_size=0.0109, noise=0.0, pull=0.05)
    points = IMAGES + 0.1
    after = follow(chain, points)
    expected = double(
        [
            [0.289503, 0.495186, 0.685590],
            [0.998105, 0.191499, 0.604844],
            [0.402676, 0.901729, 0.198822],
            [0.590163, 0.596222, 0.585309],
        ]
    )
    torch.testing.assert_close(after, expected, atol=1e-6, rtol=0)


def test_known_average() -> None:
    values = iter([0.0, 1.0, 2.0, 3.0])  # the first is where the chain starts, which does not count
    chain = Chain(Ball("l2", 0.1), step_size=0.01, noise=0.0, pull=0.0)
    value = chain_loss(
        lambda points: next(values) + 0 * points.sum(),
        as_images(IMAGES),
        chain,
        num_steps=3,
        average=0.9,
        generator=generator(),
    )
    assert value.item() == pytest.approx(2.889)


@pytest.mark.parametrize("average", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_loss_is_that_of_the_recursion(norm: Norm, average: float) -> None:
    """Value and gradient of e <- (1 - a) e + a loss, with a forward for each use."""
    settings = AtentSettings(
        norm=norm, epsilon=0.3, steps=4, step_size=0.05, noise=0.1, average=average
    )
    step = linear_step(settings, IMAGES)
    value = settings.build(CONTEXT)(step)
    [gradient] = torch.autograd.grad(value, [step.head.weight])

    draws = generator(1)  # that of the step
    weight = WEIGHT.clone().requires_grad_()

    def mean_loss(pixels: Tensor) -> Tensor:
        return functional.cross_entropy(functional.linear(pixels, weight, BIAS), LABELS)

    images = IMAGES.view(-1, 1, 3, 1)
    drawn = torch.randn(images.shape, generator=draws, dtype=images.dtype).view(4, 3)
    if norm == "linf":
        points = IMAGES + 0.3 * drawn.sign()
    else:
        lengths = drawn.norm(dim=1, keepdim=True)
        points = IMAGES + drawn * (0.3 / lengths).clamp(max=1)
    running = torch.zeros((), dtype=torch.float64)
    for number in range(4):
        slope = gradient_at(points)
        noise = torch.randn(images.shape, generator=draws, dtype=images.dtype).view(4, 3)
        if norm == "linf":
            after = points + 0.05 * slope.sign()
        else:
            after = points + 0.05 * slope / slope.norm(dim=1, keepdim=True)
            after = after + 0.05 * (IMAGES - points)
        points = (after + 0.1 * (2 * 0.05) ** 0.5 * noise).clamp(0, 1)
        if norm == "linf" and number == 3:
            points = torch.minimum(torch.maximum(points, IMAGES - 0.3), IMAGES + 0.3)
        running = (1 - average) * running + average * mean_loss(points)
    assert value.item() == pytest.approx(running.item())
    [expected] = torch.autograd.grad(running, [weight])
    torch.testing.assert_close(gradient, expected)


def test_noise_has_the_size_of_langevin_dynamics() -> None:
    images = torch.full((2000, 1, 3, 1), 0.5)
    chain = Chain(Ball("linf", 1.0), step_size=0.002, noise=0.5, pull=0.0)
    after = chain.follow(images, torch.zeros_like(images), images, generator())
    assert after.std().item() == pytest.approx(0.5 * (2 * 0.002) ** 0.5, rel=0.03)


def test_default_step_is_half_a_radius_in_sum() -> None:
    assert AtentSettings(norm="l2", epsilon=0.435, steps=20).step_length == pytest.approx(0.010875)

"""Attacks and the terms that train with them: known values, closed forms, plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import Tensor
from torch.nn import functional

from tests.losses.linear_model import (
    BIAS,
    CONTEXT,
    IMAGES,
    LABELS,
    WEIGHT,
    as_images,
    linear_model,
    linear_step,
)
from tests.losses.references import double
from tunebox.losses.agreement import divergence
from tunebox.losses.terms.adversarial import PgdSettings, TradesSettings
from tunebox.metrics.attacks import Ball, ascend
from tunebox.metrics.settings import Norm

SIGNS = double([[-1, -1, -1], [1, -1, 1], [1, 1, 1], [-1, 1, -1]])  # of the gradient


def losses_of(images: Tensor) -> Tensor:
    logits = functional.linear(images.flatten(1), WEIGHT, BIAS)
    return functional.cross_entropy(logits, LABELS, reduction="none")


def attacked_by(ball: Ball, step_size: float, num_steps: int) -> Tensor:
    """The pixels ``(4, 3)`` after an attack that starts at the images."""
    images = as_images(IMAGES)
    return ascend(
        losses_of, images, images, ball, step_size=step_size, num_steps=num_steps
    ).flatten(1)


def test_known_attack_in_the_maximum_norm() -> None:
    attacked = attacked_by(Ball("linf", 8 / 255), 2 / 255, 3)
    torch.testing.assert_close(attacked - IMAGES, 6 / 255 * SIGNS)
    assert losses_of(IMAGES).mean().item() == pytest.approx(1.351927, abs=1e-6)
    assert losses_of(attacked).mean().item() == pytest.approx(1.408757, abs=1e-6)


def test_known_attack_in_the_euclidean_norm() -> None:
    attacked = attacked_by(Ball("l2", 0.5), 0.5, 2)
    expected = double(
        [
            [-0.2, 0.000344, -0.442372],
            [0.1, -0.1, 0.465252],
            [0.381749, 0.2, 0.183511],
            [-0.224717, 0.051833, -0.443639],
        ]
    )
    torch.testing.assert_close(attacked - IMAGES, expected, atol=1e-6, rtol=0)
    assert losses_of(attacked).mean().item() == pytest.approx(2.244923, abs=1e-6)


def numpy_attack(norm: Norm, radius: float, step: float, num_steps: int) -> np.ndarray[Any, Any]:
    """Projected gradient ascent, image by image, with the gradient W^T (p - e_y)."""
    weight, bias = WEIGHT.numpy(), BIAS.numpy()
    attacked = []
    for image, label in zip(IMAGES.numpy(), LABELS.tolist(), strict=True):
        change = np.zeros(3)
        for _ in range(num_steps):
            residual = np.exp(log_softmax(weight @ (image + change) + bias)) - np.eye(3)[label]
            gradient = weight.T @ residual
            if norm == "linf":
                change = np.clip(change + step * np.sign(gradient), -radius, radius)
            else:
                change = change + step * gradient / np.sqrt((gradient**2).sum())
                change = change * min(1.0, radius / np.sqrt((change**2).sum()))
            change = np.clip(image + change, 0, 1) - image
        attacked.append(image + change)
    return np.stack(attacked)


@pytest.mark.parametrize(
    ("norm", "radius"), [("linf", 0.03), ("linf", 0.4), ("l2", 0.2), ("l2", 0.9)]
)
@pytest.mark.parametrize("num_steps", [1, 4, 9])
def test_attack_is_that_of_plain_numpy(norm: Norm, radius: float, num_steps: int) -> None:
    step = 2.5 * radius / num_steps
    attacked = attacked_by(Ball(norm, radius), step, num_steps)
    np.testing.assert_allclose(
        attacked.numpy(), numpy_attack(norm, radius, step, num_steps), atol=1e-9
    )


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_attack_of_a_linear_loss_reaches_the_best_point_of_the_ball(norm: Norm, dual: int) -> None:
    """By Hoelder's inequality the best rise is the radius times the dual norm of the slope."""
    slope = as_images(double([[0.3, -2, 0.5], [1, 0.2, -0.1]]))
    middle = torch.full_like(slope, 0.5)

    def rise_of(points: Tensor) -> Tensor:
        return ((points - middle) * slope).sum(dim=(1, 2, 3))

    attacked = ascend(rise_of, middle, middle, Ball(norm, 0.1), step_size=0.05, num_steps=9)
    dual_norms = torch.linalg.vector_norm(slope.flatten(1), ord=dual, dim=1)
    torch.testing.assert_close(rise_of(attacked), 0.1 * dual_norms)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attack_stays_in_the_ball_and_in_the_range_of_pixels(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 1, 5, 5, generator=generator).round(decimals=1)
    wanted = torch.randn(64, 1, 5, 5, generator=generator)
    ball = Ball(norm, 0.3)
    start = (images + ball.draw(images, generator)).clamp(0, 1)
    attacked = ascend(
        lambda x: (x * wanted).sum(dim=(1, 2, 3)), images, start, ball, step_size=0.2, num_steps=5
    )
    assert attacked.amin() >= 0
    assert attacked.amax() <= 1
    for points in (start, attacked):
        change = (points - images).flatten(1)
        order = torch.inf if norm == "linf" else 2
        assert torch.linalg.vector_norm(change, ord=order, dim=1).amax() <= 0.3 + 1e-6


def test_projection_is_the_nearest_point() -> None:
    generator = torch.Generator().manual_seed(1)
    far, many = (
        as_images(torch.randn(count, 3, generator=generator, dtype=torch.float64))
        for count in (20, 500)
    )
    for ball in (Ball("l2", 0.7), Ball("linf", 0.7)):
        projected, others = ball.project(far), ball.project(many)
        nearest = torch.cdist(far.flatten(1), others.flatten(1)).amin(dim=1)
        assert bool(((far - projected).flatten(1).norm(dim=1) <= nearest + 1e-12).all())
        torch.testing.assert_close(ball.project(projected), projected)


def test_random_starts_fill_the_ball() -> None:
    images = torch.zeros(4000, 1, 2, 2)
    generator = torch.Generator().manual_seed(2)
    linf = Ball("linf", 0.5).draw(images, generator)
    assert linf.mean().item() == pytest.approx(0, abs=0.01)
    assert linf.std().item() == pytest.approx(0.5 / 3**0.5, rel=0.02)
    lengths = Ball("l2", 0.5).draw(images, generator).flatten(1).norm(dim=1)
    assert lengths.amax() <= 0.5 + 1e-6
    assert lengths.mean().item() == pytest.approx(
        0.5 * 4 / 5, rel=0.02
    )  # of a ball of 4 dimensions


def test_an_image_without_gradient_has_no_direction() -> None:
    still = torch.zeros(2, 1, 2, 2)
    assert not Ball("linf", 1.0).direction(still).any()
    assert not Ball("l2", 1.0).project(still).any()


def test_pgd_trains_with_the_attacked_images() -> None:
    settings = PgdSettings(epsilon=8 / 255, step_size=2 / 255, steps=3, random_start=False)
    value = settings.build(CONTEXT)(linear_step(settings, IMAGES))
    assert value.item() == pytest.approx(1.408757, abs=1e-6)
    settings = PgdSettings(norm="l2", epsilon=0.5, step_size=0.5, steps=2, random_start=False)
    value = settings.build(CONTEXT)(linear_step(settings, IMAGES))
    assert value.item() == pytest.approx(2.244923, abs=1e-6)


def test_steps_are_two_and_a_half_radii_long_in_sum() -> None:
    assert PgdSettings(epsilon=0.1, steps=5).step_length == pytest.approx(0.05)


def test_normalisation_is_no_business_of_an_attack() -> None:
    """Pixels that are normalised inside the model: the attack is that of the composed function."""
    settings = PgdSettings(epsilon=0.05, steps=1, random_start=False)
    value = settings.build(CONTEXT)(
        linear_step(settings, IMAGES, model=linear_model(mean=0.5, std=0.25))
    )
    logits = functional.linear((IMAGES + 0.05 * SIGNS - 0.5) / 0.25, WEIGHT, BIAS)
    at_signs = functional.cross_entropy(logits, LABELS)
    clean = functional.cross_entropy(functional.linear((IMAGES - 0.5) / 0.25, WEIGHT, BIAS), LABELS)
    assert value > clean
    assert value.item() == pytest.approx(at_signs.item(), rel=0.05)


def test_known_divergence_of_trades() -> None:
    attacked = IMAGES + 6 / 255 * SIGNS
    logits, others = (functional.linear(x, WEIGHT, BIAS) for x in (IMAGES, attacked))
    for image, expected in enumerate([0.000912, 0.000513, 0.000906, 0.000902]):
        value = divergence(logits[[image]], others[[image]])
        assert value.item() == pytest.approx(expected, abs=1e-6)
    total = functional.cross_entropy(logits, LABELS) + 6 * divergence(logits, others)
    assert total.item() == pytest.approx(1.356775, abs=3e-6)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 0.3)])
def test_trades_finds_the_divergence_of_the_best_of_many_points(norm: Norm, epsilon: float) -> None:
    settings = TradesSettings(norm=norm, epsilon=epsilon, steps=12)
    # the divergence has a maximum on each side of the image: one start finds one of them
    found = torch.stack([divergences_of(settings, seed) for seed in range(6)]).amax(dim=0)
    ball, generator = Ball(norm, epsilon), torch.Generator().manual_seed(3)
    logits = functional.linear(IMAGES, WEIGHT, BIAS)
    best = torch.zeros(4, dtype=torch.float64)
    for _ in range(2000):
        images = as_images(IMAGES)
        points = (images + ball.draw(images, generator)).clamp(0, 1).flatten(1)
        log_q = functional.log_softmax(functional.linear(points, WEIGHT, BIAS), dim=1)
        log_p = functional.log_softmax(logits, dim=1)
        best = torch.maximum(best, (log_p.exp() * (log_p - log_q)).sum(dim=1))
    assert bool((found > 0.95 * best).all())


def divergences_of(settings: TradesSettings, seed: int) -> Tensor:
    values = []
    for image in range(4):
        step = linear_step(settings, IMAGES[[image]])
        step.generator.manual_seed(100 * seed + image)
        values.append(settings.build(CONTEXT)(step).detach())
    return torch.stack(values)


def test_gradient_of_trades_flows_through_both_predictions() -> None:
    settings = TradesSettings(epsilon=0.1, steps=3)
    step = linear_step(settings, IMAGES)
    settings.build(CONTEXT)(step).backward()
    through_both = step.head.bias.grad
    assert through_both is not None
    # one shift of all logits changes no prediction
    assert through_both.sum().item() == pytest.approx(0, abs=1e-12)
    assert through_both.abs().amax() > 0

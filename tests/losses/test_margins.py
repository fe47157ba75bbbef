"""Losses of cosines: known values, brute force over classes, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.losses.references import COSINES, FEATURE_LABELS, FEATURES, WEIGHT
from tunebox.losses.margins import (
    cosines,
    lm_softmax,
    margin_softmax,
    sample_margins,
    zero_centroid,
)

U = cosines(FEATURES, WEIGHT)


def random_cosines(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(6, 4, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    return u.requires_grad_(), torch.randint(4, (6,), generator=generator)


def test_cosines() -> None:
    torch.testing.assert_close(U, COSINES, atol=1e-6, rtol=0)
    expected = functional.cosine_similarity(FEATURES[:, None], WEIGHT[None], dim=2)
    torch.testing.assert_close(U, expected)


@pytest.mark.parametrize(
    ("scale", "expected"), [(1, -0.590456), (5, -0.999527), (10, -1.020728), (64, -1.027004)]
)
def test_known_lm_softmax(scale: float, expected: float) -> None:
    assert lm_softmax(U, FEATURE_LABELS, scale).item() == pytest.approx(expected, abs=1e-6)


def test_known_lm_softmax_of_each_image() -> None:
    each = [lm_softmax(U[[i]], FEATURE_LABELS[[i]], 10).item() for i in range(4)]
    assert each == pytest.approx([-0.447214, -1.241021, -0.999915, -1.394761], abs=2e-6)


def test_known_sample_margins() -> None:
    margins = sample_margins(U, FEATURE_LABELS)
    assert margins.tolist() == pytest.approx([0.447214, 1.264911, 1, 1.395897], abs=1e-6)
    assert -margins.mean().item() == pytest.approx(-1.027005, abs=1e-6)


def test_lm_softmax_of_a_large_scale_is_minus_the_sample_margin() -> None:
    u, labels = random_cosines(0)
    limit = -sample_margins(u, labels).mean()
    torch.testing.assert_close(lm_softmax(u, labels, 1e5), limit, atol=1e-4, rtol=0)


def test_known_zero_centroid() -> None:
    assert zero_centroid(WEIGHT, "mean", True).item() == pytest.approx(0.019064, abs=1e-6)
    assert zero_centroid(WEIGHT, "sum", True).item() == pytest.approx(0.171573, abs=1e-6)
    assert zero_centroid(WEIGHT, "mean", False).item() == 0


def test_known_margin_softmax() -> None:
    norm_face = functional.cross_entropy(10 * U, FEATURE_LABELS)
    assert norm_face.item() == pytest.approx(0.002852, abs=1e-6)
    none = margin_softmax(U, FEATURE_LABELS, 10, 0.0, "cosine")
    torch.testing.assert_close(none, norm_face)
    cos_face = margin_softmax(U, FEATURE_LABELS, 10, 0.1, "cosine")
    assert cos_face.item() == pytest.approx(0.007679, abs=1e-6)
    arc_face = margin_softmax(U, FEATURE_LABELS, 10, 0.1, "angle")
    assert arc_face.item() == pytest.approx(0.004638, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_brute_force_over_classes(seed: int) -> None:
    u, labels = random_cosines(seed)
    largest = cosine = angle = smallest = 0.0
    for row, y in zip(u.tolist(), labels.tolist(), strict=True):
        others = [value for k, value in enumerate(row) if k != y]
        largest += math.log(sum(math.exp(7 * (value - row[y])) for value in others)) / 7
        smallest += min(row[y] - value for value in others)
        rest = sum(math.exp(7 * value) for value in others)
        for of in ("cosine", "angle"):
            own = row[y] - 0.3 if of == "cosine" else math.cos(math.acos(row[y]) + 0.3)
            value = -math.log(math.exp(7 * own) / (math.exp(7 * own) + rest))
            cosine, angle = (cosine + value, angle) if of == "cosine" else (cosine, angle + value)
    assert lm_softmax(u, labels, 7).item() == pytest.approx(largest / 6)
    assert margin_softmax(u, labels, 7, 0.3, "cosine").item() == pytest.approx(cosine / 6)
    assert margin_softmax(u, labels, 7, 0.3, "angle").item() == pytest.approx(angle / 6)
    assert sample_margins(u, labels).mean().item() == pytest.approx(smallest / 6)


def test_gradients_are_those_of_finite_differences() -> None:
    u, labels = random_cosines(1)
    assert torch.autograd.gradcheck(lambda x: lm_softmax(x, labels, 5), (u,))
    assert torch.autograd.gradcheck(lambda x: margin_softmax(x, labels, 5, 0.2, "cosine"), (u,))
    assert torch.autograd.gradcheck(lambda x: margin_softmax(x, labels, 5, 0.2, "angle"), (u,))
    assert torch.autograd.gradcheck(lambda x: sample_margins(x, labels).mean(), (u,))
    features, weight = FEATURES.clone().requires_grad_(), WEIGHT.clone().requires_grad_()
    assert torch.autograd.gradcheck(cosines, (features, weight))
    assert torch.autograd.gradcheck(lambda w: zero_centroid(w, "mean", True), (weight,))


def test_margin_that_float32_cannot_exponentiate() -> None:
    u = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    value = lm_softmax(u, torch.tensor([1, 1]), 1000.0)
    assert value.item() == pytest.approx(0)  # 2 for the first, -2 for the second
    assert torch.autograd.grad(value, u)[0].isfinite().all()

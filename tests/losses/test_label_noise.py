"""Losses for wrong labels: known values, and the formulas written out with plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.losses.references import LABELS, LOGITS, P_LABEL, random_logits
from tunebox.losses.label_noise import (
    asymmetric_exponential_loss,
    asymmetric_generalized_cross_entropy,
    focal_loss,
    generalized_cross_entropy,
    log_p_label,
    mean_absolute_error,
    normalized_cross_entropy,
    partially_huberised_cross_entropy,
    reverse_cross_entropy,
)

LOG_1E4 = math.log(1e-4)
Loss = Callable[[Tensor, Tensor], Tensor]
Formula = Callable[[float, list[float]], float]  # of p_y and all probabilities


def agce(p: float, a: float, q: float) -> float:
    return (math.pow(a + 1, q) - math.pow(a + p, q)) / q


def phuber(p: float, tau: float) -> float:
    return -math.log(p) if p > 1 / tau else -tau * p + math.log(tau) + 1


def nce(p: float, every: list[float]) -> float:
    return math.log(p) / sum(math.log(other) for other in every)


CASES: dict[str, tuple[Loss, Formula, float]] = {
    "mae": (mean_absolute_error, lambda p, _: 1 - p, 0.375386),
    "gce": (
        lambda z, y: generalized_cross_entropy(z, y, 0.7),
        lambda p, _: (1 - p**0.7) / 0.7,
        0.428022,
    ),
    "gce_1": (lambda z, y: generalized_cross_entropy(z, y, 1.0), lambda p, _: 1 - p, 0.375386),
    "rce": (
        lambda z, y: reverse_cross_entropy(z, y, LOG_1E4),
        lambda p, _: -LOG_1E4 * (1 - p),
        3.457432,
    ),
    "rce_paper": (
        lambda z, y: reverse_cross_entropy(z, y, -4.0),
        lambda p, _: 4 * (1 - p),
        1.501544,
    ),
    "nce": (normalized_cross_entropy, nce, 0.164163),
    "ael": (
        lambda z, y: asymmetric_exponential_loss(z, y, 2.5),
        lambda p, _: math.exp(-p / 2.5),
        0.784126,
    ),
    "focal": (
        lambda z, y: focal_loss(z, y, 0.5),
        lambda p, _: -((1 - p) ** 0.5) * math.log(p),
        0.484730,
    ),
    "phuber_10": (
        lambda z, y: partially_huberised_cross_entropy(z, y, 10.0),
        lambda p, _: phuber(p, 10),
        0.616861,
    ),
    "phuber_2": (
        lambda z, y: partially_huberised_cross_entropy(z, y, 2.0),
        lambda p, _: phuber(p, 2),
        0.546316,
    ),
    "agce": (  # with the published weight 4; the printed value includes nce
        lambda z, y: (
            4 * asymmetric_generalized_cross_entropy(z, y, 6.0, 1.5)
            + normalized_cross_entropy(z, y)
        ),
        lambda p, every: 4 * agce(p, 6, 1.5) + nce(p, every),
        4.051051,
    ),
}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Loss, Formula, float]:
    return CASES[request.param]


def test_probabilities_of_the_labels() -> None:
    assert log_p_label(LOGITS, LABELS).exp().tolist() == pytest.approx(P_LABEL, abs=1e-6)


def test_known_value(case: tuple[Loss, Formula, float]) -> None:
    loss, _, expected = case
    assert loss(LOGITS, LABELS).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_formula_image_by_image(case: tuple[Loss, Formula, float], seed: int) -> None:
    loss, formula, _ = case
    logits, labels = random_logits(seed)
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total_exp = sum(math.exp(value) for value in row)
        every = [math.exp(value) / total_exp for value in row]
        total += formula(every[label], every)
    assert loss(logits, labels).item() == pytest.approx(total / len(labels), rel=1e-12)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"focal"}))
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    logits, labels = random_logits(0)
    assert torch.autograd.gradcheck(lambda z: CASES[name][0](z, labels), (logits,))


def test_factor_of_the_focal_loss_carries_no_gradient() -> None:
    logits, labels = random_logits(0)
    gradient = torch.autograd.grad(focal_loss(logits, labels, 2.0), logits)[0]
    p = functional.softmax(logits.detach(), dim=1)
    factor = (1 - p[torch.arange(7), labels]) ** 2
    expected = factor[:, None] * (p - functional.one_hot(labels, 5)) / 7
    torch.testing.assert_close(gradient, expected)


def test_combined_losses() -> None:
    cross_entropy = functional.cross_entropy(LOGITS, LABELS)
    reverse = reverse_cross_entropy(LOGITS, LABELS, LOG_1E4)
    assert (cross_entropy + reverse).item() == pytest.approx(4.074293, abs=1e-6)
    assert (0.1 * cross_entropy + reverse).item() == pytest.approx(3.519118, abs=1e-6)
    normalized = normalized_cross_entropy(LOGITS, LABELS)
    assert (normalized + reverse).item() == pytest.approx(3.621596, abs=1e-6)


def test_limits() -> None:
    logits, labels = random_logits(1)
    cross_entropy = functional.cross_entropy(logits, labels)
    torch.testing.assert_close(focal_loss(logits, labels, 0.0), cross_entropy)
    near = generalized_cross_entropy(logits, labels, 1e-7)
    torch.testing.assert_close(near, cross_entropy, rtol=1e-5, atol=0)
    large = partially_huberised_cross_entropy(logits, labels, 1e6)
    torch.testing.assert_close(large, cross_entropy)


@pytest.mark.parametrize("name", ["mae", "nce", "rce"])
def test_symmetric_losses_sum_to_a_constant_over_the_labels(name: str) -> None:
    sums = []
    for seed in range(3):
        logits, _ = random_logits(seed, batch=1)
        sums.append(sum(CASES[name][0](logits, torch.tensor([k])).item() for k in range(5)))
    assert sums == pytest.approx([sums[0]] * 3)

"""Coding rate: known values, the determinant by eigenvalues, rows that are left out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.losses.make_context import make_context
from tests.losses.references import FEATURE_LABELS, FEATURES, WEIGHT
from tunebox.losses.coding_rate import coding_rate
from tunebox.losses.context import View
from tunebox.losses.settings import TermContext
from tunebox.losses.terms.anti_collapse import AntiCollapseSettings


def rate_of_all(rows: Tensor, epsilon: float, scaling: Any) -> float:
    return coding_rate(rows, torch.ones(len(rows)).double(), epsilon, scaling).item()


def test_known_values() -> None:
    assert rate_of_all(WEIGHT, 0.5, "theory") == pytest.approx(1.073290, abs=1e-6)
    assert rate_of_all(WEIGHT, 0.5, "repository") == pytest.approx(1.666102, abs=1e-6)
    assert math.exp(-rate_of_all(WEIGHT, 0.5, "theory")) == pytest.approx(0.341882, abs=1e-6)
    assert math.exp(-rate_of_all(WEIGHT, 0.5, "repository")) == pytest.approx(0.188982, abs=1e-6)
    assert rate_of_all(FEATURES, 0.5, "theory") == pytest.approx(1.083955, abs=1e-6)


def test_known_rates_of_the_classes() -> None:
    total = 0.0
    for k in range(3):
        own = FEATURES[FEATURE_LABELS == k]
        total += len(own) / 4 * rate_of_all(own, 0.5, "theory")
    assert total == pytest.approx(0.888837, abs=1e-6)
    assert rate_of_all(FEATURES, 0.5, "theory") - total == pytest.approx(0.195118, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 6), (6, 3), (4, 4)])
@pytest.mark.parametrize("scaling", ["theory", "repository"])
def test_sum_over_squared_singular_values(shape: tuple[int, int], scaling: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(shape, generator=generator, dtype=torch.float64)
    n, d = shape
    values = torch.linalg.svdvals(rows / rows.norm(dim=1, keepdim=True))
    ratio = d / n if scaling == "theory" else n / d
    expected = 0.5 * torch.log1p(ratio / 0.3 * values**2).sum().item()
    assert rate_of_all(rows, 0.3, scaling) == pytest.approx(expected)


def test_rows_that_do_not_count_are_as_if_absent() -> None:
    counts = torch.tensor([1.0, 0.0, 1.0, 1.0]).double()
    some = coding_rate(FEATURES, counts, 0.5, "theory").item()
    assert some == pytest.approx(rate_of_all(FEATURES[[0, 2, 3]], 0.5, "theory"))


def test_gradient_is_that_of_finite_differences() -> None:
    rows = FEATURES.clone().requires_grad_()
    ones = torch.ones(4).double()
    assert torch.autograd.gradcheck(lambda m: coding_rate(m, ones, 0.5, "theory"), (rows,))
    assert torch.autograd.gradcheck(lambda m: coding_rate(m.T, ones[:2], 0.5, "theory"), (rows,))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"rows": "all_classes"}, 0.341882),
        ({"rows": "all_classes", "scaling": "repository"}, 0.188982),
        ({"rows": "batch_classes"}, 0.341882),  # all classes are in the batch
        ({"rows": "features"}, math.exp(-1.083955)),
        ({"rows": "features", "form": "linear"}, -1.083955 / 4),
        ({"rows": "features", "form": "linear", "gamma": 2.0}, -1.083955 / 2),
    ],
)
def test_term(settings: dict[str, Any], expected: float) -> None:
    head = torch.nn.Linear(2, 3, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(WEIGHT)
    view = View(FEATURES, FEATURES @ WEIGHT.T)
    term = AntiCollapseSettings(**settings).build(TermContext(3, 2, 10))
    value = term(make_context(FEATURE_LABELS, head, view, view))
    assert value.item() == pytest.approx(expected, abs=1e-6)

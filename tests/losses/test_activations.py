"""Gini and class distribution: known values, loops, and values that are silent."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.losses.references import double
from tunebox.losses.activations import (
    class_distribution_divergence,
    class_shares_of_features,
    gini_impurity,
)

ACTIVATIONS = double([[1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 4, 1]])
ONE_HOT = torch.eye(3, dtype=torch.float64)[torch.tensor([0, 0, 1, 2])]


def test_known_values() -> None:
    assert gini_impurity(ACTIVATIONS, ONE_HOT).item() == pytest.approx(0.365835, abs=1e-6)
    divergence = class_distribution_divergence(ACTIVATIONS, ONE_HOT)
    assert divergence.item() == pytest.approx(0.012645, abs=1e-6)
    shares, active = class_shares_of_features(ACTIVATIONS, ONE_HOT)
    rows = [1, 0, 0, 0, 0.333333, 0.666667, 0.428571, 0.285714, 0.285714]
    assert shares.flatten().tolist() == pytest.approx(rows, abs=1e-6)
    assert shares.mean(dim=0).tolist() == pytest.approx([0.476190, 0.206349, 0.317460], abs=1e-6)
    assert active.tolist() == [1, 1, 1]


def random_case(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (12,), generator=generator)
    return features.requires_grad_(), torch.eye(4, dtype=torch.float64)[labels]


@pytest.mark.parametrize("seed", range(3))
def test_loops(seed: int) -> None:
    features, one_hot = random_case(seed)
    labels = one_hot.argmax(dim=1).tolist()
    impurity, served = 0.0, [0.0] * 4
    for f in range(5):
        sums = [0.0] * 4
        for k in range(4):
            own = [abs(features[i, f].item()) for i in range(12) if labels[i] == k]
            sums[k] = sum(own) / len(own) if own else 0.0
        shares = [value / sum(sums) for value in sums]
        impurity += (1 - sum(share**2 for share in shares)) / 5
        served = [value + share / 5 for value, share in zip(served, shares, strict=True)]
    wanted = [labels.count(k) / 12 for k in range(4)]
    divergence = sum(t * math.log(t / q) for t, q in zip(wanted, served, strict=True) if t > 0)
    assert gini_impurity(features, one_hot).item() == pytest.approx(impurity, abs=1e-8)
    found = class_distribution_divergence(features, one_hot).item()
    assert found == pytest.approx(divergence, abs=1e-8)


def test_gradients_are_those_of_finite_differences() -> None:
    features, one_hot = random_case(0)
    assert torch.autograd.gradcheck(lambda f: gini_impurity(f, one_hot), (features,))
    assert torch.autograd.gradcheck(
        lambda f: class_distribution_divergence(f, one_hot), (features,)
    )


def test_silent_value_counts_for_nothing_and_has_no_gradient() -> None:
    features, one_hot = random_case(1)
    silent = torch.cat([features.detach(), torch.zeros(12, 1).double()], dim=1).requires_grad_()
    for term in (gini_impurity, class_distribution_divergence):
        torch.testing.assert_close(term(silent, one_hot), term(features, one_hot))
        gradient = torch.autograd.grad(term(silent, one_hot), silent)[0]
        assert gradient.abs().amax() < 10
        assert not gradient[:, -1].any()


def test_value_for_one_class_each_is_pure() -> None:
    pure = torch.eye(4, dtype=torch.float64)
    assert gini_impurity(pure, pure).item() == pytest.approx(0, abs=1e-8)
    assert class_distribution_divergence(pure, pure).item() == pytest.approx(0, abs=1e-8)
    even = torch.ones(4, 3, dtype=torch.float64)
    assert gini_impurity(even, pure).item() == pytest.approx(0.75)

"""Consistency and stability of predictions: known values, torch's own divergences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from tests.losses.make_context import make_context
from tests.losses.references import double, random_logits
from tunebox.losses.agreement import consistency, cross_entropy_between, divergence
from tunebox.losses.context import StepContext, View
from tunebox.losses.settings import TermContext
from tunebox.losses.terms.consistency import ConsistencySettings
from tunebox.losses.terms.cross_entropy import CrossEntropySettings
from tunebox.losses.terms.stability import StabilitySettings

FIRST, SECOND = double([[2, 0, -1], [0.5, 1, 0]]), double([[1, 1, 0], [0, 2, 1]])
CONTEXT = TermContext(3, 3, 10)


def step_of(clean: Tensor, *copies: Tensor) -> StepContext:
    views = [View(logits, logits) for logits in copies]
    made = make_context(torch.tensor([0, 1]), torch.nn.Linear(3, 3), View(clean, clean), views[0])
    return replace(made, noisy_copies=tuple(views))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1.225458),
        ({"form": "cross_entropy"}, 9.946402),
        ({"form": "kl"}, 0.766461),
        ({"form": "mse"}, 1.806038),
    ],
)
def test_known_values(settings: dict[str, Any], expected: float) -> None:
    copies = ConsistencySettings(agreement_weight=10, entropy_weight=0.5, **settings)
    term = copies.build(CONTEXT)
    value = term(step_of(FIRST, FIRST, SECOND))
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_known_mean_predictions() -> None:
    step = step_of(FIRST, FIRST, SECOND)
    means = torch.stack([copy.logits.softmax(dim=1) for copy in step.copies_of("noisy")]).mean(0)
    expected = [0.633057, 0.268257, 0.098686, 0.198613, 0.585861, 0.215526]
    assert means.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_known_parts() -> None:
    for row, (expected_kl, expected_entropy) in enumerate(
        [(0.110606, 0.870944), (0.042687, 0.965044)]
    ):
        kl, entropy = consistency([FIRST[[row]], SECOND[[row]]])
        assert kl.item() == pytest.approx(expected_kl, abs=1e-6)
        assert entropy.item() == pytest.approx(expected_entropy, abs=1e-6)


def test_cross_entropy_on_noisy_is_the_mean_over_all_copies() -> None:
    term = CrossEntropySettings(on="noisy").build(CONTEXT)
    value = term(step_of(FIRST, FIRST, SECOND))
    assert value.item() == pytest.approx(0.529929, abs=1e-6)


def test_known_gradient() -> None:
    first, second = FIRST.clone().requires_grad_(), SECOND.clone().requires_grad_()
    value = ConsistencySettings().build(CONTEXT)(step_of(FIRST, first, second))
    of_first, of_second = torch.autograd.grad(value, [first, second])
    expected = [0.461679, -0.341354, -0.120326, 0.382614, -0.296740, -0.085874]
    assert of_first.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    expected = [-0.647463, 0.459136, 0.188327, -0.228668, 0.144806, 0.083862]
    assert of_second.flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("num_copies", [2, 3, 5])
def test_consistency_is_that_of_torch_distributions(num_copies: int) -> None:
    copies = [random_logits(seed)[0] for seed in range(num_copies)]
    mean = Categorical(torch.stack([c.softmax(dim=1) for c in copies]).mean(dim=0))
    expected = sum(
        kl_divergence(mean, Categorical(logits=c)).mean().item() / num_copies for c in copies
    )
    kl, entropy = consistency(copies)
    assert kl.item() == pytest.approx(expected)
    expected = -(mean.probs * mean.probs.log()).sum(dim=1).mean().item()
    assert entropy.item() == pytest.approx(expected)


def test_gradient_is_that_of_finite_differences() -> None:
    one, other = random_logits(0)[0], random_logits(1)[0]
    assert torch.autograd.gradcheck(lambda a, b: consistency([a, b]), (one, other))
    assert torch.autograd.gradcheck(divergence, (one, other))
    assert torch.autograd.gradcheck(cross_entropy_between, (one, other))


def test_stability_of_predictions() -> None:
    cross_entropy = StabilitySettings(distance="cross_entropy").build(CONTEXT)
    assert cross_entropy(step_of(FIRST, SECOND)).item() == pytest.approx(1.056163, abs=1e-6)
    kl = StabilitySettings(distance="kl").build(CONTEXT)
    p, q = Categorical(logits=FIRST), Categorical(logits=SECOND)
    expected = kl_divergence(p, q).mean().item()
    assert kl(step_of(FIRST, SECOND)).item() == pytest.approx(expected)
    entropy = -(p.probs * p.probs.log()).sum(dim=1).mean().item()
    assert expected == pytest.approx(1.056163 - entropy, abs=1e-6)


def test_more_copies_than_the_term_asked_for_are_left_out() -> None:
    term = ConsistencySettings(copies=2).build(CONTEXT)
    two, three = step_of(FIRST, FIRST, SECOND), step_of(FIRST, FIRST, SECOND, 3 * SECOND)
    assert torch.equal(term(two), term(three))


def test_mse_of_three_copies_is_refused() -> None:
    with pytest.raises(ValueError, match="compares 2 copies, got copies=3"):
        ConsistencySettings(form="mse", copies=3)


def test_one_copy_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        ConsistencySettings(copies=1)

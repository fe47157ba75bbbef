"""Centre losses: known values, one step of the centres by loops, what is remembered."""

from __future__ import annotations

import pytest
import torch

from tests.losses.make_context import make_context
from tests.losses.references import FEATURE_LABELS, FEATURES, WEIGHT
from tunebox.losses.base import LossTerm
from tunebox.losses.centers import center_loss, moved_centers, sigmoid_center_loss
from tunebox.losses.context import StepContext, View
from tunebox.losses.settings import TermContext
from tunebox.losses.terms.center import CenterSettings, SigmoidCenterSettings

OWN = WEIGHT[FEATURE_LABELS]
ONE_HOT = torch.eye(3, dtype=torch.float64)[FEATURE_LABELS]


def test_known_values() -> None:
    assert center_loss(FEATURES, OWN).item() == pytest.approx(1.8125, abs=1e-9)
    assert 4 / 2 * center_loss(FEATURES, OWN).item() == pytest.approx(3.625)  # the paper's sum
    weighted = sigmoid_center_loss(FEATURES, OWN, 5.0)
    assert weighted.item() == pytest.approx(1.387991, abs=1e-6)


def test_known_step_of_the_centers() -> None:
    moved = moved_centers(WEIGHT, FEATURES, ONE_HOT, 0.5)
    expected = [1.333333, -0.083333, 0, 1.25, -1, -1.25]
    assert moved.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_center_of_an_absent_class_stays() -> None:
    few = moved_centers(WEIGHT, FEATURES[:2], ONE_HOT[:2], 0.5)
    assert torch.equal(few[1:], WEIGHT[1:])
    assert not torch.equal(few[0], WEIGHT[0])


def test_step_by_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    features = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 3, 3, 3, 0, 1, 1])
    expected = centers.clone()
    for k in range(4):
        own = [features[i] for i in range(9) if labels[i] == k]
        step = sum((centers[k] - feature for feature in own), torch.zeros(3).double())
        expected[k] -= 0.3 * step / (1 + len(own))
    one_hot = torch.eye(4, dtype=torch.float64)[labels]
    torch.testing.assert_close(moved_centers(centers, features, one_hot, 0.3), expected)


def test_gradient_of_the_sigmoid_weighting_leaves_out_the_weight() -> None:
    features = FEATURES.clone().requires_grad_()
    gradient = torch.autograd.grad(sigmoid_center_loss(features, OWN, 5.0), features)[0]
    weights = torch.tensor([0.063347, 1.989666, 0.569881, 0.569881], dtype=torch.float64)
    expected = weights[:, None] * (FEATURES - OWN) / 4
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=0)


def test_gradient_of_the_center_loss_is_that_of_finite_differences() -> None:
    features = FEATURES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: center_loss(f, OWN), (features,))


def step() -> StepContext:
    view = View(FEATURES.float(), FEATURES.float() @ WEIGHT.float().T)
    head = torch.nn.Linear(2, 3)
    return make_context(FEATURE_LABELS, head, view, View(view.features + 1, view.logits))


def centers_after(term: LossTerm) -> torch.Tensor:
    term(step())
    centers: torch.Tensor = term.state_dict()["centers"]
    return centers.double()


@pytest.mark.parametrize("settings", [CenterSettings(), SigmoidCenterSettings()])
def test_term_uses_its_centers_and_then_moves_them(settings: CenterSettings) -> None:
    term = settings.build(TermContext(3, 2, 10))
    zeros = torch.zeros(4, 2).double()
    expected = settings.distance(FEATURES, zeros).item()
    assert term(step()).item() == pytest.approx(expected, rel=1e-6)
    moved = moved_centers(torch.zeros(3, 2).double(), FEATURES, ONE_HOT, 0.5)
    torch.testing.assert_close(term.state_dict()["centers"].double(), moved)
    term.eval()
    torch.testing.assert_close(centers_after(term), moved)


def test_both_views_move_the_centers_at_once() -> None:
    found = centers_after(CenterSettings(on="both").build(TermContext(3, 2, 10)))
    features = torch.cat([FEATURES, FEATURES + 1])
    expected = moved_centers(
        torch.zeros(3, 2).double(), features, torch.cat([ONE_HOT, ONE_HOT]), 0.5
    )
    torch.testing.assert_close(found, expected)

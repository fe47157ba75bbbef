"""A head of cosines, in place of the linear head of any network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.models.test_every_model import settings_of
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.models.layers import unit_rows


def build(name: str, scale: float | None, side: int = 8) -> Classifier:
    shape: dict[str, Any] = {"channels": 1, "height": side, "width": side, "num_classes": 10}
    settings = settings_of(name)
    return build_classifier(settings, **shape, mean=[0.5], std=[0.25], seed=3, cosine_scale=scale)


@pytest.mark.parametrize("name", ["mlp", "small_conv", "vit", "preact_resnet18"])
def test_logits_are_scaled_cosines(name: str) -> None:
    model = build(name, 12.0).eval()
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = model.features(images)
        expected = functional.cosine_similarity(features[:, None], model.head.weight[None], dim=2)
        torch.testing.assert_close(model(images), 12 * expected, rtol=1e-4, atol=1e-4)


def test_weights_are_those_of_the_linear_head_and_there_is_no_bias() -> None:
    linear, cosine = build("mlp", None), build("mlp", 5.0)
    assert torch.equal(linear.head.weight, cosine.head.weight)
    assert linear.state_dict().keys() - cosine.state_dict().keys() == {"head.bias"}
    before = torch.get_rng_state()
    build("mlp", 5.0)
    assert torch.equal(before, torch.get_rng_state())


def test_lengths_of_weights_and_features_do_not_matter() -> None:
    model = build("mlp", 5.0)
    features = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
    before = model.head(features)
    with torch.no_grad():
        model.head.weight.mul_(torch.rand(10, 1) + 0.5)
    torch.testing.assert_close(model.head(3 * features), before)


def test_direction_of_zeros_is_zero_with_a_gradient_of_one() -> None:
    rows = torch.zeros(2, 3, requires_grad=True)
    units = unit_rows(rows)
    assert not units.any()
    assert torch.equal(torch.autograd.grad(units.sum(), rows)[0], torch.ones(2, 3))


def test_gradient_of_directions_is_that_of_finite_differences() -> None:
    rows = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(unit_rows, (rows.requires_grad_(),))

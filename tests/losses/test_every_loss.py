"""What every term promises, whichever it is."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tunebox.losses.base import LossTerm, View, Views, WeightedLosses
from tunebox.losses.build import build_losses
from tunebox.losses.cross_entropy import CrossEntropyTerm
from tunebox.losses.discriminative import DiscriminativeTerm
from tunebox.losses.settings import (
    CrossEntropySettings,
    DiscriminativeSettings,
    LossesSettings,
    StabilitySettings,
)
from tunebox.losses.stability import StabilityTerm, stability_loss
from tunebox.noise.settings import GaussianSettings

CLASSES, DIM, BATCH = 5, 6, 12

TERMS: dict[str, Callable[[], LossTerm]] = {
    "cross_entropy_clean": lambda: CrossEntropyTerm("clean"),
    "cross_entropy_noisy": lambda: CrossEntropyTerm("noisy"),
    "cross_entropy_both": lambda: CrossEntropyTerm("both"),
    "discriminative": lambda: DiscriminativeTerm(DiscriminativeSettings(), CLASSES, DIM),
    "stability": StabilityTerm,
}


@pytest.fixture(params=sorted(TERMS))
def term(request: pytest.FixtureRequest) -> LossTerm:
    return TERMS[request.param]()


def random_views(seed: int, dtype: torch.dtype = torch.float32) -> Views:
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(DIM, CLASSES)
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    clean, noisy = torch.randn(2, BATCH, DIM, generator=generator).requires_grad_().unbind()
    return Views(
        labels,
        torch.eye(CLASSES)[labels],
        head,
        View(clean.to(dtype), head(clean).to(dtype)),
        View(noisy.to(dtype), head(noisy).to(dtype)),
    )


def permuted(views: Views, order: Tensor) -> Views:
    return Views(
        views.labels[order],
        views.one_hot[order],
        views.head,
        View(views.clean.features[order], views.clean.logits[order]),
        View(views.noisy.features[order], views.noisy.logits[order]),
    )


def test_finite_scalar(term: LossTerm) -> None:
    value = term(random_views(0))
    assert value.shape == ()
    assert value.isfinite()


def test_gradient_reaches_the_views_it_needs(term: LossTerm) -> None:
    views = random_views(0)
    gradients = torch.autograd.grad(
        term(views),
        [views.clean.features, views.noisy.features],
        allow_unused=True,
    )
    if not isinstance(term, CrossEntropyTerm):  # it looks at logits
        assert all(gradient is not None and gradient.any() for gradient in gradients)
    logits = random_views(0)
    weight_gradient = torch.autograd.grad(term(logits), logits.head.weight, allow_unused=True)[0]
    if not isinstance(term, StabilityTerm):
        assert weight_gradient is not None
        assert weight_gradient.any()


def test_order_of_the_batch_does_not_matter(term: LossTerm) -> None:
    views = random_views(1)
    order = torch.randperm(BATCH, generator=torch.Generator().manual_seed(2))
    term.eval()  # so that both calls see the same memory
    torch.testing.assert_close(term(permuted(views, order)), term(views))


def test_memory_survives_save_and_load(term: LossTerm, request: pytest.FixtureRequest) -> None:
    term(random_views(2))
    file = io.BytesIO()
    torch.save(term.state_dict(), file)
    file.seek(0)
    restored = TERMS[request.node.callspec.params["term"]]()
    restored.load_state_dict(torch.load(file, weights_only=True))
    views = random_views(3)
    assert torch.equal(restored(views), term(views))


def all_losses(**weights: float) -> LossesSettings:
    return LossesSettings(
        cross_entropy=CrossEntropySettings(on="both", weight=weights.get("cross_entropy", 1)),
        discriminative=DiscriminativeSettings(weight=weights.get("discriminative", 1)),
        stability=StabilitySettings(weight=weights.get("stability", 1)),
        noise=GaussianSettings(kind="gaussian", std=0.1),
    )


def build(**weights: float) -> WeightedLosses:
    return build_losses(all_losses(**weights), num_classes=CLASSES, feature_dim=DIM)


def test_total_is_the_weighted_sum_of_the_named_values() -> None:
    weights = {"cross_entropy": 0.5, "discriminative": 2.0, "stability": 3.0}
    total, values = build(**weights)(random_views(0))
    assert list(values) == list(weights)
    assert not any(value.requires_grad for value in values.values())
    expected = sum(weights[name] * value.item() for name, value in values.items())
    assert total.item() == pytest.approx(expected, rel=1e-6)


def test_term_with_weight_0_is_left_out() -> None:
    losses = build(discriminative=0.0, cross_entropy=0.0)
    _, values = losses(random_views(0))
    assert losses.names == list(values) == ["stability"]
    assert not losses.state_dict()


@pytest.mark.parametrize(
    ("on", "clean", "noisy"),
    [("clean", True, False), ("noisy", False, True), ("both", True, True)],
)
def test_needed_views(on: str, clean: bool, noisy: bool) -> None:
    settings = all_losses(discriminative=0.0, stability=0.0)
    settings = settings.model_copy(
        update={"cross_entropy": CrossEntropySettings.model_validate({"on": on})}
    )
    losses = build_losses(settings, num_classes=CLASSES, feature_dim=DIM)
    assert (losses.needs_clean_view, losses.needs_noisy_view) == (clean, noisy)


def test_half_precision_views_and_autocast_still_give_float32() -> None:
    views = random_views(0, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        total, values = build()(views)
    assert total.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in values.values())


def test_all_weights_0_is_refused() -> None:
    with pytest.raises(ValueError, match="every weight is 0"):
        all_losses(cross_entropy=0.0, discriminative=0.0, stability=0.0)
    with pytest.raises(ValueError, match="every weight is 0"):
        WeightedLosses({"stability": StabilityTerm()}, {"stability": 0.0})


def test_stability_of_unlike_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(2, 2\)"):
        stability_loss(torch.zeros(3, 2), torch.zeros(2, 2))


def test_stability_of_equal_views_has_a_zero_gradient() -> None:
    features = torch.ones(3, 2, requires_grad=True)
    value = stability_loss(features, features.detach().clone())
    assert value.item() == 0
    assert not torch.autograd.grad(value, features)[0].any()

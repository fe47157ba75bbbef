"""The reference values were computed with the authors' own code of [Nguyen2025] in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.losses.make_context import make_context
from tunebox.losses.context import StepContext, View
from tunebox.losses.discriminative import DiscriminativeTerm
from tunebox.losses.settings import TermContext
from tunebox.losses.terms.cross_entropy import CrossEntropySettings
from tunebox.losses.terms.discriminative import DiscriminativeSettings
from tunebox.losses.terms.stability import stability_loss

DOUBLE = torch.float64
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

Batch = tuple[list[list[float]], list[list[float]], list[int]]  # clean, noisy, labels

BATCH_1: Batch = (
    [[1, 0], [3, 0], [0, 2], [0, 4], [-1, -1], [-3, -1]],
    [[1.5, 0.5], [2, -1], [0.5, 2.5], [-1, 3], [-2, -2], [-1, -3]],
    [0, 0, 1, 1, 2, 2],
)
BATCH_2: Batch = (  # class 1 is absent
    [[2, 1], [4, -1], [-2, 0], [-2, -2], [-5, 1]],
    [[2.5, 1.5], [3, 0], [-1, 0], [-2, -3], [-4, 0]],
    [0, 0, 2, 2, 2],
)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return str(request.param)


def linear(weight: list[list[float]], bias: list[float], device: str = "cpu") -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), device=device, dtype=DOUBLE)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight, dtype=DOUBLE))
        layer.bias.copy_(torch.tensor(bias, dtype=DOUBLE))
    return layer


def reference_head(device: str = "cpu") -> nn.Linear:
    return linear([[1, 0], [0, 1], [-1, -1]], [0.1, -0.2, 0.3], device)


def views_of(batch: Batch, head: nn.Linear) -> StepContext:
    device = head.weight.device
    clean, noisy = (
        torch.tensor(values, dtype=DOUBLE, device=device, requires_grad=True)
        for values in batch[:2]
    )
    return make_views(clean, noisy, torch.tensor(batch[2], device=device), head)


def make_views(clean: Tensor, noisy: Tensor, labels: Tensor, head: nn.Linear) -> StepContext:
    return make_context(labels, head, View(clean, head(clean)), View(noisy, head(noisy)))


def build_term(classes: int = 3, dim: int = 2, **settings: Any) -> DiscriminativeTerm:
    return DiscriminativeTerm(DiscriminativeSettings(**settings), classes, dim).double()


def four_values(term: DiscriminativeTerm, views: StepContext) -> list[float]:
    """L_comp, L_marg, L_reg and L_disc of one training step."""
    before = {name: value.clone() for name, value in term.state_dict().items()}
    parts = [part.item() for part in term.parts(views)]
    term.load_state_dict(before)  # so that the second call sees what the first one saw
    return [*parts, term(views).item()]


def gradients(total: Tensor, views: StepContext) -> list[Tensor]:
    wanted = [views.clean.features, views.noisy.features, views.head.weight, views.head.bias]
    return list(torch.autograd.grad(total, wanted))


def assert_near(actual: Tensor, expected: list[Any]) -> None:
    torch.testing.assert_close(
        actual.detach().cpu(), torch.tensor(expected, dtype=actual.dtype), atol=1e-6, rtol=0
    )


def test_three_calls_with_momentum_099(device: str) -> None:
    head = reference_head(device)
    term = build_term().to(device)

    first = four_values(term, views_of(BATCH_1, head))
    assert first == pytest.approx([0.445810, 3.150668, 2.412023, 3.598890], abs=1e-6)
    assert_near(term.centroids, [[2, 0], [0, 3], [-2, -1]])

    second = four_values(term, views_of(BATCH_2, head))
    assert second == pytest.approx([1.925495, 2.901579, 2.126028, 4.829200], abs=1e-6)
    assert_near(term.centroids, [[2.01, 0], [0, 3], [-2.01, -0.993333]])

    third = four_values(term, views_of(BATCH_1, head))
    assert third == pytest.approx([0.449655, 3.150668, 2.417298, 3.602741], abs=1e-6)
    assert_near(term.centroids, [[2.0099, 0], [0, 3], [-2.0099, -0.9934]])


def test_class_first_seen_in_the_second_call_with_momentum_09(device: str) -> None:
    head = reference_head(device)
    term = build_term(momentum=0.9).to(device)

    first = four_values(term, views_of(BATCH_2, head))
    assert first == pytest.approx([1.535794, 2.901579, 3.009231, 4.440382], abs=1e-6)
    assert term.seen.tolist() == [True, False, True]
    assert_near(term.centroids[1], [0, 0])

    second = four_values(term, views_of(BATCH_1, head))
    assert second == pytest.approx([1.322013, 3.150668, 2.942485, 4.475624], abs=1e-6)
    assert term.seen.all()
    assert_near(term.centroids, [[2.9, 0], [0, 3], [-2.9, -0.4]])


def test_gradients_of_the_first_call(device: str) -> None:
    views = views_of(BATCH_1, reference_head(device))
    clean, noisy, weight, bias = gradients(build_term().to(device)(views), views)
    assert_near(
        clean,
        [
            [-0.188814, 0.147314],
            [-0.022147, 0.147314],
            [0.147314, -0.188814],
            [0.147314, -0.022147],
            [0.093020, 0.320062],
            [-0.073646, 0.320062],
        ],
    )
    assert_near(
        noisy,
        [
            [-0.024408, 0.024408],
            [0, -0.083333],
            [0.024408, -0.024408],
            [-0.083333, 0],
            [0, -0.083333],
            [0.129399, -0.258798],
        ],
    )
    assert_near(weight, [[0.117851, 0.117851], [-0.281829, 0.001406], [0.163978, -0.119257]])
    assert_near(bias, [0, 0.149071, -0.149071])


def test_gradients_through_remembered_centroids(device: str) -> None:
    head = reference_head(device)
    term = build_term().to(device)
    term(views_of(BATCH_1, head))
    views = views_of(BATCH_2, head)
    clean, noisy, weight, bias = gradients(term(views), views)
    assert_near(
        clean,
        [
            [-0.180978, 0.300846],
            [0.206081, -0.018034],
            [0.077276, 0.230403],
            [0.077287, 0.063728],
            [-0.352547, 0.434174],
        ],
    )
    assert_near(
        noisy,
        [
            [0.083685, 0.256179],
            [0.122500, 0],
            [0.108920, 0.107122],
            [0.001251, -0.251112],
            [-0.257106, 0.128338],
        ],
    )
    assert_near(weight, [[-0.477297, -0.583363], [-0.007184, 0.881505], [0.484481, -0.298142]])
    assert_near(bias, [-0.353553, 0.577160, -0.223607])


def test_satisfied_margin_pulls_nothing() -> None:
    views = views_of(BATCH_1, reference_head())
    term = build_term(delta_d=1.0)
    values = four_values(term, views)
    assert values == pytest.approx([0.445810, 0, 2.412023, 0.448222], abs=1e-6)
    _, _, weight, bias = gradients(term(views), views)
    assert not weight.any()
    assert not bias.any()


def test_norm_of_order_1_leaves_the_margin_euclidean() -> None:
    values = four_values(build_term(norm=1), views_of(BATCH_1, reference_head()))
    assert values == pytest.approx([0.75, 3.150668, 2.666667, 3.903335], abs=1e-6)


def test_seeded_batch_in_float32() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clean = torch.randn(8, 4)
        noisy = clean + 0.3 * torch.randn(8, 4)
        head = nn.Linear(4, 4)
    labels = torch.tensor([0, 1, 2, 3] * 2)
    term = DiscriminativeTerm(DiscriminativeSettings(), 4, 4)
    first = term(make_views(clean, noisy, labels, head))
    second = term(make_views(clean + 1, noisy + 1, labels, head))
    assert first.dtype == torch.float32
    assert [first.item(), second.item()] == pytest.approx([6.417786, 9.994779], abs=2e-6)


@pytest.mark.parametrize(
    ("on", "expected"), [("clean", 0.115601), ("noisy", 0.096840), ("both", 0.106221)]
)
def test_cross_entropy_baselines(on: Any, expected: float) -> None:
    term = CrossEntropySettings(on=on).build(TermContext(3, 2, 6))
    value = term(views_of(BATCH_1, reference_head()))
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_stability_baseline() -> None:
    views = views_of(BATCH_1, reference_head())
    distance = stability_loss(views.clean.features, views.noisy.features)
    assert distance.item() == pytest.approx(1.414214, abs=1e-6)
    cross_entropy = CrossEntropySettings(on="clean").build(TermContext(3, 2, 6))
    total = distance + cross_entropy(views)
    assert total.item() == pytest.approx(1.529815, abs=1e-6)


def loop_oracle(
    settings: DiscriminativeSettings, views: StepContext, stored: dict[int, Tensor]
) -> Tensor:
    """The formulas of the paper with loops; writes the new centroids into ``stored``."""
    classes = sorted(set(views.labels.tolist()))
    weight, bias = views.head.weight, views.head.bias
    compactness, margin, regularization = [], [], []
    for label in classes:
        clean = views.clean.features[views.labels == label]
        noisy = views.noisy.features[views.labels == label]
        mean = clean.mean(0)
        centroid = mean
        if label in stored:
            centroid = (1 - settings.momentum) * mean + settings.momentum * stored[label]
        stored[label] = centroid.detach()
        pulls = [
            max((row - centroid).norm(p=settings.norm) - settings.delta_v, torch.zeros(())) ** 2
            for row in [*clean, *noisy]
        ]
        compactness.append(sum(pulls) / (2 * len(clean)))
        hinges = [torch.zeros((), dtype=DOUBLE)]
        for other in range(len(bias)):
            if other != label:
                lead = (weight[other] - weight[label]) @ mean + bias[other] - bias[label]
                distance = lead / (weight[other] - weight[label]).norm()
                hinges.append((distance + settings.delta_d).clamp(min=0))
        margin.append(torch.stack(hinges).max())
        regularization.append(centroid.norm(p=settings.norm))
    total: Tensor = (
        settings.compactness_weight * sum(compactness)
        + settings.margin_weight * sum(margin)
        + settings.regularization_weight * sum(regularization)
    ) / len(classes)
    return total


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_agrees_with_loops_over_classes(norm: Any, momentum: float) -> None:
    classes, dim = 10, 16
    settings = DiscriminativeSettings(
        norm=norm, momentum=momentum, delta_v=0.3, delta_d=2.0, regularization_weight=0.1
    )
    generator = torch.Generator().manual_seed(1)
    term = DiscriminativeTerm(settings, classes, dim).double()
    head = nn.Linear(dim, classes, dtype=DOUBLE)
    stored: dict[int, Tensor] = {}
    for _ in range(12):
        labels = torch.randint(classes, (14,), generator=generator)  # some classes are absent
        clean = torch.randn(14, dim, dtype=DOUBLE, generator=generator, requires_grad=True)
        noisy = torch.randn(14, dim, dtype=DOUBLE, generator=generator, requires_grad=True)
        views = make_views(clean, noisy, labels, head)
        actual, expected = term(views), loop_oracle(settings, views, stored)
        torch.testing.assert_close(actual, expected, atol=1e-11, rtol=0)
        for mine, theirs in zip(gradients(actual, views), gradients(expected, views), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-11, rtol=0)
    for label, centroid in stored.items():
        torch.testing.assert_close(term.centroids[label], centroid, atol=1e-12, rtol=0)


def test_identical_features_and_identical_head_rows_have_finite_gradients() -> None:
    head = linear([[1, 0], [1, 0], [0, 1]], [0.5, 0.1, 0])
    views = views_of(([[1, 1]] * 3, [[1, 1]] * 3, [0, 1, 2]), head)
    total = build_term(delta_v=0.0)(views)
    assert math.isfinite(total.item())
    assert all(gradient.isfinite().all() for gradient in gradients(total, views))


def test_head_with_identical_rows_only_has_no_margin() -> None:
    head = linear([[1, 2], [1, 2]], [0, 3])
    term = build_term(classes=2)
    _, margin, _ = term.parts(views_of(([[1, 0], [0, 1]], [[1, 0], [0, 1]], [0, 1]), head))
    assert margin.item() == 0


def test_single_class_in_a_batch() -> None:
    views = views_of(([[3, 1], [1, 1]], [[3, 1], [1, 1]], [2, 2]), reference_head())
    total = build_term()(views)
    assert math.isfinite(total.item())
    assert all(gradient.isfinite().all() for gradient in gradients(total, views))


def test_evaluation_mode_stores_nothing() -> None:
    term = build_term().eval()
    term(views_of(BATCH_1, reference_head()))
    assert not term.seen.any()
    assert not term.centroids.any()


def test_stored_centroids_carry_no_gradient() -> None:
    term = build_term()
    term(views_of(BATCH_1, reference_head())).backward()
    assert not term.centroids.requires_grad

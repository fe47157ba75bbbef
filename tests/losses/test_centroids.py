"""Distances from the planes between centroids: known values, brute force over pairs."""

from __future__ import annotations

import pytest
import torch

from tests.losses.make_context import make_context
from tests.losses.references import double
from tunebox.losses.centroids import BisectorTerm, bisector_margin
from tunebox.losses.context import View
from tunebox.losses.settings import TermContext
from tunebox.losses.terms.bisector import CentroidBisectorMarginSettings

CONTEXT = TermContext(4, 3, 100)
ALL = torch.ones(4, dtype=torch.bool)


def test_known_distance() -> None:
    """An image at the origin, its centroid at (1, 0), another one at (0, 2)."""
    value = bisector_margin(
        double([[0, 0]]), torch.tensor([0]), double([[1, 0], [0, 2]]), ALL[:2], 1
    )
    assert value.item() == pytest.approx(1 - 0.670820, abs=1e-6)


def test_another_metric_is_another_space() -> None:
    """With the metric diag(1, 1/2), y = sqrt(1/2) y' has the same squared distances."""
    squared = 2 - 1  # of the published example: r = 1 / (2 sqrt 2)
    centroids = double([[1, 0], [0, 2**0.5]])
    value = bisector_margin(double([[0, 0]]), torch.tensor([0]), centroids, ALL[:2], 1)
    expected = squared / (2 * torch.linalg.vector_norm(centroids[0] - centroids[1]).item())
    assert value.item() == pytest.approx(1 - expected, abs=1e-6)


def drawn(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return features, torch.randint(4, (count,), generator=generator)


@pytest.mark.parametrize("margin", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("known", [[1, 1, 1, 1], [1, 0, 1, 1]])
def test_agrees_with_a_loop_over_images_and_classes(margin: float, known: list[int]) -> None:
    features, labels = drawn(0, 30)
    centroids, _ = drawn(1, 4)
    keep = torch.tensor([bool(known[label]) for label in labels.tolist()])
    features, labels = features[keep], labels[keep]
    total = 0.0
    for feature, label in zip(features, labels.tolist(), strict=True):
        lacking = [0.0]
        for other in range(4):
            if other == label or not known[other]:
                continue
            squares = [(feature - centroids[k]).square().sum() for k in (other, label)]
            gap = (centroids[other] - centroids[label]).square().sum().sqrt()
            lacking.append(margin - float((squares[0] - squares[1]) / (2 * gap)))
        total += max(lacking)
    value = bisector_margin(features, labels, centroids, torch.tensor(known).bool(), margin)
    assert value.item() == pytest.approx(total / len(labels))


def test_distance_is_that_to_the_plane() -> None:
    """Moved by the distance towards the other centroid, a feature is as far from both."""
    features, labels = drawn(2, 1)
    centroids = drawn(3, 2)[0]
    labels = torch.tensor([0])
    r = 10 - bisector_margin(features, labels, centroids, ALL[:2], 10)
    towards = torch.nn.functional.normalize(centroids[1] - centroids[0], dim=0)
    moved = features + r * towards
    distances = (moved - centroids).norm(dim=1)
    assert distances[0].item() == pytest.approx(distances[1].item())


def test_gradient_is_that_of_finite_differences() -> None:
    features, labels = drawn(4, 6)
    centroids = drawn(5, 4)[0]
    assert torch.autograd.gradcheck(
        lambda f: bisector_margin(f, labels, centroids, ALL, 3.0), (features.requires_grad_(),)
    )


def test_equal_centroids_have_no_plane() -> None:
    features, labels = drawn(6, 5)
    features.requires_grad_()
    value = bisector_margin(features, labels, torch.zeros(4, 3).double(), ALL, 1.0)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.item() == 0
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


def test_centroids_follow_the_features() -> None:
    """Means the first time, then blends; a class that is absent keeps its own."""
    term = CentroidBisectorMarginSettings(momentum=0.9).build(CONTEXT)
    assert isinstance(term, BisectorTerm)
    head = torch.nn.Linear(3, 4)
    expected = torch.zeros(4, 3)
    for seed, classes in ((0, [0, 1, 2]), (1, [1, 3]), (2, [0, 1, 3])):
        generator = torch.Generator().manual_seed(seed)
        features = torch.randn(12, 3, generator=generator)
        labels = torch.tensor(classes).repeat(12)[:12]
        for label in classes:
            mean = features[labels == label].mean(dim=0)
            known = bool(expected[label].any())
            expected[label] = 0.1 * mean + 0.9 * expected[label] if known else mean
        view = View(features, head(features))
        term(make_context(labels, head, view, view))
        torch.testing.assert_close(term.centroids, expected)
    term.eval()
    term(make_context(labels, head, view, view))
    torch.testing.assert_close(term.centroids, expected)

"""Square losses and the linear one: known values, and what their definitions promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.losses.references import LABELS, LOGITS, random_logits
from tunebox.losses.square import (
    rescaled_square_loss,
    simplex_square_loss,
    squentropy,
    unhinged_loss,
)

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rescaled": lambda z, y: rescaled_square_loss(z, y, 15.0, 30.0),
    "simplex": simplex_square_loss,
    "squentropy": squentropy,
    "unhinged": unhinged_loss,
}


def test_known_values() -> None:
    assert rescaled_square_loss(LOGITS, LABELS, 1, 1).item() == pytest.approx(0.770833, abs=1e-6)
    assert rescaled_square_loss(LOGITS, LABELS, 15, 30).item() == pytest.approx(
        4067.770833, abs=1e-6
    )
    assert simplex_square_loss(LOGITS, LABELS).item() == pytest.approx(2.760948, abs=1e-6)
    assert squentropy(LOGITS, LABELS).item() == pytest.approx(1.023111, abs=1e-6)
    assert unhinged_loss(LOGITS, LABELS).item() == pytest.approx(-0.041667, abs=1e-6)
    each = [unhinged_loss(LOGITS[[i]], LABELS[[i]]).item() for i in range(4)]
    assert each == pytest.approx([-0.666667, 0.5, -1.333333, 1.333333], abs=1e-6)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    logits, labels = random_logits(0)
    assert torch.autograd.gradcheck(lambda z: LOSSES[name](z, labels), (logits,))


def test_square_loss_without_rescaling_is_that_of_torch() -> None:
    logits, labels = random_logits(1)
    expected = functional.mse_loss(logits, functional.one_hot(labels, 5).double())
    torch.testing.assert_close(rescaled_square_loss(logits, labels, 1.0, 1.0), expected)


def test_squares_by_loops() -> None:
    logits, labels = random_logits(2)
    rescaled = squared = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        others = sum(value**2 for k, value in enumerate(row) if k != label)
        rescaled += (3 * (row[label] - 7) ** 2 + others) / 5
        squared += others / 4
    assert rescaled_square_loss(logits, labels, 3, 7).item() == pytest.approx(rescaled / 7)
    expected = functional.cross_entropy(logits, labels).item() + squared / 7
    assert squentropy(logits, labels).item() == pytest.approx(expected)


def test_simplex_has_unit_vertices_that_are_equally_far_apart() -> None:
    labels = torch.arange(5)
    # the loss of 0 is the squared length of a vertex; that of a vertex is its distance to another
    zero = torch.zeros(5, 5, dtype=torch.float64)
    assert simplex_square_loss(zero, labels).item() == pytest.approx(1)
    vertices = [[(1.0 if k == j else 0.0) - 0.2 for j in range(5)] for k in range(5)]
    unit = functional.normalize(torch.tensor(vertices, dtype=torch.float64))
    assert simplex_square_loss(unit, labels).item() == pytest.approx(0, abs=1e-12)
    assert simplex_square_loss(unit, labels.roll(1)).item() == pytest.approx(2 + 2 / 4)


def test_unhinged_loss_sums_to_the_number_of_classes() -> None:
    logits, _ = random_logits(3, batch=1)
    total = sum(unhinged_loss(logits, torch.tensor([k])).item() for k in range(5))
    assert total == pytest.approx(5)

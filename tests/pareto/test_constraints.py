from __future__ import annotations

import numpy as np
import pytest

from tunebox.pareto.constraints import Constraint, Constraints, total_violation
from tunebox.pareto.objectives import MissingObjectiveError

ACCURATE = Constraint("clean_accuracy", 0.8, None)
SMALL = Constraint("parameters", None, 2000.0)
BETWEEN = Constraint("train_loss", 0.0, 4.0)


def metrics(clean: float = 0.9, parameters: float = 1000.0, loss: float = 1.0) -> dict[str, float]:
    return {"clean_accuracy": clean, "parameters": parameters, "train_loss": loss}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (metrics(), [-0.125, -0.5, -1.0, -0.75]),
        (metrics(clean=0.6), [0.25, -0.5, -1.0, -0.75]),
        (metrics(parameters=5000.0), [-0.125, 1.5, -1.0, -0.75]),
        (metrics(loss=-0.5), [-0.125, -0.5, 0.5, -1.125]),
        (metrics(loss=6.0), [-0.125, -0.5, -6.0, 0.5]),
    ],
)
def test_violations_are_in_units_of_the_bound(
    reported: dict[str, float], expected: list[float]
) -> None:
    constraints = Constraints([ACCURATE, SMALL, BETWEEN])
    assert constraints.num_bounds == 4
    assert constraints.violations(reported) == pytest.approx(expected)
    assert constraints.are_kept(reported) == (max(expected) <= 0)


@pytest.mark.parametrize("reported", [metrics(clean=0.8), metrics(parameters=2000.0)])
def test_the_bound_itself_is_kept(reported: dict[str, float]) -> None:
    assert Constraints([ACCURATE, SMALL]).are_kept(reported)


def test_without_constraints_all_is_kept() -> None:
    constraints = Constraints()
    assert not constraints
    assert constraints.are_kept({})
    assert constraints.violations({}).shape == (0,)


def test_violation_adds_what_is_broken_only() -> None:
    assert total_violation(np.array([-3.0, 0.5, 0.25, 0.0])) == 0.75


def test_absent_metric_is_an_error() -> None:
    with pytest.raises(MissingObjectiveError, match="'parameters', which is constrained"):
        Constraints([SMALL]).violations({"clean_accuracy": 0.5})


def test_constraints_read_as_a_person_writes_them() -> None:
    assert str(Constraints([ACCURATE, BETWEEN])) == (
        "clean_accuracy >= 0.8, train_loss >= 0 and train_loss <= 4"
    )

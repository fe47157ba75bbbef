from __future__ import annotations

import pytest

from tunebox.pareto.objectives import MissingObjectiveError, Objective, Objectives

OBJECTIVES = Objectives(
    [
        Objective("noisy_accuracy", maximize=True, reference=0.25),
        Objective("train_loss", maximize=False, reference=3.0),
        Objective("clean_accuracy", maximize=True, reference=0.0),
    ]
)


def test_costs_are_turned_once_and_keep_the_order_of_the_objectives() -> None:
    report = {"clean_accuracy": 0.75, "parameters": 12, "train_loss": 2.0, "noisy_accuracy": 0.5}
    assert OBJECTIVES.costs(report).tolist() == [-0.5, 2.0, -0.75]
    assert OBJECTIVES.reference_costs.tolist() == [-0.25, 3.0, 0.0]
    assert OBJECTIVES.names == ("noisy_accuracy", "train_loss", "clean_accuracy")
    assert [objective.name for objective in OBJECTIVES] == list(OBJECTIVES.names)
    assert len(OBJECTIVES) == 3


def test_absent_objective_is_named() -> None:
    with pytest.raises(MissingObjectiveError, match="lacks the objective 'train_loss'; it has cl"):
        OBJECTIVES.costs({"clean_accuracy": 1.0, "noisy_accuracy": 1.0})


def test_costs_are_a_copy() -> None:
    first = OBJECTIVES.reference_costs
    first[:] = 0
    assert OBJECTIVES.reference_costs.tolist() == [-0.25, 3.0, 0.0]

"""What the models of all reports say of trials at work and at rest."""

from __future__ import annotations

import numpy as np
import pytest

from tunebox.decisions.cube import Cube
from tunebox.decisions.report_model import ReportModel
from tunebox.pareto.objectives import FloatArray
from tunebox.spec.space import Space
from tunebox.spec.yaml_source import parse_yaml

LINE = "x: {uniform: [0.0, 1.0]}"
EPOCHS = (2, 4, 8)


def costs_at(x: float, epoch: int) -> FloatArray:
    """Costs that fall with the epochs; those at 0.3 and 0.5 are the ends of the front."""
    return np.array([(x - 0.3) ** 2, (x - 0.5) ** 2]) + 0.5 / epoch


def model_of(settings: list[float], epochs: list[int]) -> ReportModel:
    """A model of trials that have reported up to some epoch, and have ended at the last one."""
    source = parse_yaml(LINE, "made.yaml")
    model = ReportModel(
        Cube(Space(source.data, source)), EPOCHS, np.full(2, 1.0), 0, first_trials=5
    )
    for x, last in zip(settings, epochs, strict=True):
        number = model.start(np.array([x]))
        for epoch in (2, 4, 6, 8):
            if epoch <= last:
                model.add(number, epoch, costs_at(x, epoch))
        model.trials[number].is_running = last < 8
    return model


@pytest.fixture
def searched() -> ReportModel:
    """Seven trials on a grid to the end, and three that have reached the first rung."""
    grid = [0.05, 0.2, 0.6, 0.7, 0.8, 0.9, 1.0]
    return model_of([*grid, 0.4, 0.85, 0.1], [8] * 7 + [2] * 3)


def test_a_trial_between_the_ends_of_the_front_gains_more_than_others(
    searched: ReportModel,
) -> None:
    best, bad, worse = (float(searched.gains([number])[0]) for number in (7, 8, 9))
    assert best > 10 * max(bad, worse, 1e-6)


def test_what_is_at_work_elsewhere_leaves_less_to_gain() -> None:
    settings, epochs = [0.05, 0.2, 0.6, 0.8, 1.0, 0.4, 0.41], [8] * 5 + [2] * 2
    model = model_of(settings, epochs)
    with_a_neighbour = float(model.gains([5])[0])
    model.trials[6].is_running = False
    assert float(model.gains([5])[0]) > 1.2 * with_a_neighbour


def test_trials_at_rest_are_compared_as_one_by_one(searched: ReportModel) -> None:
    for number in (8, 9):
        searched.trials[number].is_running = False
    together = searched.gains([8, 9])
    alone = [float(searched.gains([number])[0]) for number in (8, 9)]
    np.testing.assert_allclose(together, alone)


def test_deviations_are_widened_to_what_nine_of_ten_reports_missed() -> None:
    model = model_of([0.5], [2])
    model._misses = []
    for miss in range(9):
        model._misses.append(np.array([miss, 0.1]))
    np.testing.assert_allclose(model.widening(), 1)  # too few to tell
    model._misses += [np.array([9.0, 0.1]) for _ in range(11)]
    # the 19th of 20: ceil(21 * 0.9); a normal value is within 1.6449 in nine of ten cases
    np.testing.assert_allclose(model.widening(), [4.0, 1.0])
    model._misses = [np.array([3.0, 0.1])] * 20
    np.testing.assert_allclose(model.widening(), [3 / 1.6448536, 1.0])


def test_only_reports_of_known_trials_at_modelled_epochs_are_compared() -> None:
    model = model_of([0.05, 0.2, 0.6, 0.8, 1.0, 0.4], [8] * 5 + [2])
    fresh = model.start(np.array([0.5]))
    model.compare(fresh, 2, costs_at(0.5, 2))
    model.compare(5, 3, costs_at(0.4, 3))
    assert model._misses == []
    model.compare(5, 4, costs_at(0.4, 4))
    model.compare(5, 4, costs_at(0.4, 4) + 0.5)
    likely, unlikely = model._misses
    assert (likely < 3).all()
    assert (unlikely > 3).all()

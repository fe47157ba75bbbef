from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, shuffled, tables
from tunebox.pareto.front import front_indices, knee_index


@given(tables())
def test_front_is_what_nothing_dominates_from_best_to_worst(costs: FloatArray) -> None:
    expected = [
        i
        for i, point in enumerate(costs)
        if not any(brute_force.dominates(other, point) for other in costs)
    ]
    expected.sort(key=lambda i: (*costs[i], i))
    assert front_indices(costs) == expected


def test_front_of_no_trials() -> None:
    assert front_indices(np.zeros((0, 2))) == []


def test_order_of_a_front_of_two_objectives_is_worst_first_in_the_second() -> None:
    costs = np.array([[3.0, 1.0], [1.0, 3.0], [3.0, 3.0], [2.0, 2.0]])
    assert front_indices(costs) == [1, 3, 0]


def oracle_knee(costs: FloatArray) -> list[int]:
    """All knees of a front, by its definition in words; more than one where points tie.

    The depth below the plane is measured along its normal, which is found by solving for it.
    """
    low, high = costs.min(axis=0), costs.max(axis=0)
    kept = [k for k in range(costs.shape[1]) if high[k] > low[k]]
    scaled = [[(point[k] - low[k]) / (high[k] - low[k]) for k in kept] for point in costs]
    inner = [i for i, point in enumerate(scaled) if min(point, default=0) > 0]
    inner = inner or list(range(len(costs)))
    normal = np.linalg.solve(np.eye(len(kept)), np.ones(len(kept)))
    depths = {i: (1 - np.dot(scaled[i], normal)) / max(1, len(kept)) ** 0.5 for i in inner}
    deepest = max(depths.values())
    if deepest > 1e-9 and kept:
        return [i for i in inner if depths[i] > deepest - 1e-9]
    distances = {i: math.dist(scaled[i], [0.0] * len(kept)) for i in inner}
    return [i for i in inner if distances[i] < min(distances.values()) + 1e-9]


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_knee_is_furthest_below_the_plane(num_objectives: int, seed: int) -> None:
    costs = shuffled(40, num_objectives, seed)
    front = costs[front_indices(costs)]
    front = front[np.random.default_rng(seed).permutation(len(front))]
    assert knee_index(front) in oracle_knee(front)


@pytest.mark.parametrize(
    ("accuracies", "knee"),
    [
        ([(87.4, 75.8), (86.5, 79.6), (85.4, 84.6)], 1),  # no bulge: the inner point
        ([(87.4, 75.8), (86.5, 83.0), (86.4, 79.6), (85.4, 84.6)], 1),
        ([(90, 10), (85, 40), (60, 41), (50, 90)], 1),  # one bulges, one does not
        ([(10, 0), (9, 1), (6, 2), (2, 7), (0, 10)], 3),  # hollow: (2, 7) is nearest to (10, 10)
        ([(10, 0), (9, 1), (5, 5), (1, 9), (0, 10)], 2),  # straight: the middle
        ([(87.4, 75.8), (85.4, 84.6)], 0),  # ends alone: the first
    ],
)
def test_knee_by_hand(accuracies: list[tuple[float, float]], knee: int) -> None:
    costs = -np.array(accuracies, dtype=float)
    assert knee_index(costs) == knee
    # units of the objectives must not matter
    assert knee_index(costs * np.array([1000.0, 0.001]) - 7.0) == knee


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
def test_an_end_is_no_knee_where_there_is_an_inner_point(num_objectives: int) -> None:
    ends = 10.0 * (1 - np.eye(num_objectives))  # best in one objective, worst in the others
    inner = np.full((1, num_objectives), 9.9)  # hardly better than the worst
    assert knee_index(np.concatenate([ends, inner])) == num_objectives
    assert knee_index(np.concatenate([inner, ends])) == 0


def test_knee_of_one_trial_and_of_equal_trials() -> None:
    assert knee_index(np.array([[1.0, 2.0]])) == 0
    assert knee_index(np.ones((3, 2))) == 0


def test_objective_without_range_does_not_count() -> None:
    costs = np.array([[5.0, 7.0, 0.0], [0.0, 7.0, 5.0], [1.0, 7.0, 1.0]])
    assert knee_index(costs) == 2


@given(tables(num_objectives=3), st.integers(1, 100), st.integers(-5, 5))
def test_units_do_not_move_the_knee(costs: FloatArray, scale: int, shift: int) -> None:
    front = costs[front_indices(costs)]
    assert knee_index(front) in oracle_knee(front)
    assert knee_index(front * scale + shift) in oracle_knee(front)

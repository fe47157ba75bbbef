from __future__ import annotations

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


def below_the_plane(costs: FloatArray) -> list[float]:
    """How far each point lies below the plane through the corners of the front's box.

    The plane is found by solving for its normal.
    """
    low, high = costs.min(axis=0), costs.max(axis=0)
    kept = high > low
    if not kept.any():
        return [0.0] * len(costs)
    scaled = (costs[:, kept] - low[kept]) / (high - low)[kept]
    normal = np.linalg.solve(np.eye(kept.sum()), np.ones(kept.sum()))
    return [float((1 - point @ normal) / np.linalg.norm(normal)) for point in scaled]


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_knee_is_furthest_below_the_plane(num_objectives: int, seed: int) -> None:
    costs = shuffled(40, num_objectives, seed)
    front = costs[front_indices(costs)]
    front = front[np.random.default_rng(seed).permutation(len(front))]
    assert knee_index(front) == int(np.argmax(below_the_plane(front)))


def test_knee_by_hand() -> None:
    # a bend at (1, 1); units of the objectives must not matter
    costs = np.array([[5.0, 0.0], [0.0, 5.0], [1.0, 1.0], [3.0, 0.5], [0.5, 3.0]])
    assert knee_index(costs) == 2
    assert knee_index(costs * np.array([1000.0, 0.001]) - 7.0) == 2


def test_knee_of_one_trial_and_of_equal_trials() -> None:
    assert knee_index(np.array([[1.0, 2.0]])) == 0
    assert knee_index(np.ones((3, 2))) == 0


def test_objective_without_range_does_not_count() -> None:
    costs = np.array([[5.0, 7.0, 0.0], [0.0, 7.0, 5.0], [1.0, 7.0, 1.0]])
    assert knee_index(costs) == 2


@given(tables(num_objectives=3), st.integers(1, 100), st.integers(-5, 5))
def test_units_do_not_move_the_knee(costs: FloatArray, scale: int, shift: int) -> None:
    front = costs[front_indices(costs)]
    moved = front * scale + shift
    chosen, again = (below_the_plane(front)[i] for i in (knee_index(front), knee_index(moved)))
    assert chosen == pytest.approx(again)

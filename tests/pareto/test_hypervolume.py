from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, shuffled, tables
from tunebox.pareto.hypervolume import RunningHypervolume, hypervolume


@given(tables(max_rows=8), st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_equals_the_boxes_counted(costs: FloatArray, reference: list[int]) -> None:
    point = np.array(reference[: costs.shape[1]], dtype=float)
    expected = brute_force.hypervolume(costs, point)
    assert hypervolume(costs, point) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_boxes_counted_in_real_numbers(num_objectives: int, seed: int) -> None:
    costs = shuffled(9, num_objectives, seed)
    reference = np.quantile(costs, 0.9, axis=0)
    expected = brute_force.hypervolume(costs, reference)
    assert hypervolume(costs, reference) == pytest.approx(expected)


def test_by_hand() -> None:
    costs = np.array([[2.0, 1.0], [3.0, 3.0], [1.0, 2.0], [1.0, 2.0]])
    assert hypervolume(costs, np.array([3.0, 3.0])) == 3.0
    assert hypervolume(np.array([[-0.75], [-0.5]]), np.array([-0.25])) == 0.5


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
def test_without_points_and_beyond_the_reference_it_is_0(num_objectives: int) -> None:
    reference = np.zeros(num_objectives)
    assert hypervolume(np.zeros((0, num_objectives)), reference) == 0
    assert hypervolume(np.zeros((1, num_objectives)), reference) == 0
    assert hypervolume(np.ones((3, num_objectives)), reference) == 0
    beyond_in_one = -np.ones((1, num_objectives))
    beyond_in_one[0, 0] = 1.0
    assert hypervolume(beyond_in_one, reference) == 0


@given(tables(min_rows=2), st.randoms(use_true_random=False))
def test_order_does_not_matter_and_more_trials_do_no_harm(
    costs: FloatArray, random: Random
) -> None:
    reference = np.full(costs.shape[1], 4.0)
    order = list(range(len(costs)))
    random.shuffle(order)
    whole = hypervolume(costs, reference)
    assert hypervolume(costs[order], reference) == pytest.approx(whole)
    assert hypervolume(costs[:-1], reference) <= whole + 1e-9


@given(tables(max_rows=8))
def test_running_hypervolume_is_that_of_all_points_so_far(costs: FloatArray) -> None:
    reference = np.full(costs.shape[1], 4.0)
    running = RunningHypervolume(reference)
    assert running.value == 0
    for number, point in enumerate(costs, start=1):
        running.add(point)
        expected = brute_force.hypervolume(costs[:number], reference)
        assert running.value == pytest.approx(expected, abs=1e-12)

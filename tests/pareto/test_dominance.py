from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, shuffled, tables
from tunebox.pareto.dominance import (
    crowding_distances,
    is_nondominated,
    nondomination_ranks,
    place_of_last,
)


def test_ranks_are_places_not_an_order() -> None:
    costs = np.array([[2.0, 2.0], [0.0, 0.0], [1.0, 1.0], [3.0, 3.0]])
    assert nondomination_ranks(costs).tolist() == [2, 0, 1, 3]


@given(tables())
def test_ranks_are_the_fronts_peeled_off(costs: FloatArray) -> None:
    assert nondomination_ranks(costs).tolist() == brute_force.ranks(costs)


@given(tables(), st.randoms(use_true_random=False))
def test_ranks_move_with_their_rows(costs: FloatArray, random: Random) -> None:
    order = list(range(len(costs)))
    random.shuffle(order)
    assert nondomination_ranks(costs[order]).tolist() == nondomination_ranks(costs)[order].tolist()


@given(tables())
def test_the_front_is_what_nothing_dominates(costs: FloatArray) -> None:
    expected = [not any(brute_force.dominates(other, point) for other in costs) for point in costs]
    assert is_nondominated(costs).tolist() == expected


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
def test_no_trials(num_objectives: int) -> None:
    costs = np.zeros((0, num_objectives))
    assert nondomination_ranks(costs).tolist() == []
    assert is_nondominated(costs).tolist() == []


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 15])
def test_crowding_without_ties(count: int, num_objectives: int) -> None:
    costs = shuffled(count, num_objectives, seed=count)
    expected = brute_force.crowding(costs)
    assert crowding_distances(costs).tolist() == pytest.approx(expected)


def test_crowding_by_hand() -> None:
    costs = np.array([[4.0, 1.0], [0.0, 9.0], [1.0, 5.0], [3.0, 2.0]])
    # the inner points, by their neighbours: (1, 5) between (0, 9) and (3, 2)
    assert crowding_distances(costs).tolist() == pytest.approx(
        [np.inf, np.inf, 3 / 4 + 7 / 8, 3 / 4 + 4 / 8]
    )


def test_equal_points_count_once() -> None:
    costs = np.array([[4.0, 1.0], [1.0, 5.0], [0.0, 9.0], [1.0, 5.0], [3.0, 2.0], [0.0, 9.0]])
    assert crowding_distances(costs).tolist() == pytest.approx(
        [np.inf, 3 / 4 + 7 / 8, np.inf, 0, 3 / 4 + 4 / 8, 0]
    )


def test_objective_in_which_all_are_equal_does_not_count() -> None:
    front = np.array([[4.0, 1.0], [1.0, 5.0], [0.0, 9.0], [3.0, 2.0]])
    flat = np.insert(front, 1, 7.0, axis=1)
    assert crowding_distances(flat).tolist() == crowding_distances(front).tolist()


@given(tables(max_rows=1))
def test_a_point_alone_is_isolated(costs: FloatArray) -> None:
    assert crowding_distances(costs).tolist() == [np.inf]


@given(tables())
def test_place_of_last_is_within_its_rank(costs: FloatArray) -> None:
    ranks = brute_force.ranks(costs)
    before = sum(rank < ranks[-1] for rank in ranks)
    alike = sum(rank == ranks[-1] for rank in ranks)
    assert before <= place_of_last(costs) < before + alike


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_place_of_last_without_ties(num_objectives: int, seed: int) -> None:
    costs = shuffled(14, num_objectives, seed)
    for count in range(1, len(costs) + 1):
        expected = brute_force.spreading_order(costs[:count]).index(count - 1)
        assert place_of_last(costs[:count]) == expected


def test_of_trials_that_tie_the_last_comes_last() -> None:
    costs = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    places = [place_of_last(costs[:count]) for count in range(1, 6)]
    assert places == [0, 0, 2, 1, 4]

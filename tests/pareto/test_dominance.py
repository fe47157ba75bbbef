from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, tables
from tunebox.pareto.dominance import is_nondominated, nondomination_ranks


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

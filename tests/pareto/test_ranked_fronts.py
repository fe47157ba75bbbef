from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, shuffled, tables
from tunebox.pareto.dominance import nondomination_ranks
from tunebox.pareto.ranked_fronts import RankedFronts


def check(fronts: RankedFronts, costs: FloatArray, ranks: list[int]) -> None:
    for rank in range(max(ranks) + 1):
        expected = costs[np.equal(ranks, rank)]
        assert sorted(fronts.front(rank).tolist()) == sorted(expected.tolist())
        assert fronts.num_above(rank) == sum(other < rank for other in ranks)


@given(tables(max_rows=16))
def test_fronts_are_those_of_all_points_after_each(costs: FloatArray) -> None:
    fronts = RankedFronts()
    for count in range(1, len(costs) + 1):
        ranks = brute_force.ranks(costs[:count])
        assert fronts.add(costs[count - 1]) == ranks[-1]
        assert fronts.front(ranks[-1])[-1].tolist() == costs[count - 1].tolist()
        check(fronts, costs[:count], ranks)


@pytest.mark.parametrize("num_objectives", [1, 2, 3, 4])
def test_fronts_of_many_points(num_objectives: int) -> None:
    costs = shuffled(400, num_objectives, seed=num_objectives)
    costs[::7] = np.round(costs[::7] / 500) * 500  # some that tie and some that are equal
    fronts = RankedFronts()
    for row in costs:
        fronts.add(row)
    check(fronts, costs, nondomination_ranks(costs).tolist())

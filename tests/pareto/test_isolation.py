from __future__ import annotations

import itertools
from random import Random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, shuffled, tables
from tunebox.pareto.front import front_indices
from tunebox.pareto.isolation import (
    FrontRule,
    crowding_distances,
    hypervolume_contributions,
    isolation_rule,
    net_distances,
)

every_rule = pytest.mark.parametrize("name", get_args(FrontRule))


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


def distance(one: FloatArray, other: FloatArray, span: FloatArray) -> float:
    return float(np.sqrt((((one - other) / span) ** 2).sum()))


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_net_by_its_definition(num_objectives: int, seed: int) -> None:
    costs = shuffled(12, num_objectives, seed)
    span = np.ptp(costs, axis=0)
    joined = [int(np.argmin(costs[:, 0]))]
    expected = {joined[0]: np.inf}
    while len(joined) < len(costs):
        gaps = {
            i: min(distance(costs[i], costs[j], span) for j in joined)
            for i in range(len(costs))
            if i not in joined
        }
        joined.append(max(gaps, key=lambda i: gaps[i]))
        expected[joined[-1]] = gaps[joined[-1]]
    found = net_distances(costs)
    assert found.tolist() == pytest.approx([expected[i] for i in range(len(costs))])


@pytest.mark.parametrize("num_objectives", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_contribution_is_the_volume_that_goes_with_a_point(num_objectives: int, seed: int) -> None:
    costs = shuffled(20, num_objectives, seed)
    front = costs[front_indices(costs)][:6]
    scaled = (front - front.min(axis=0)) / np.ptp(front, axis=0)
    reference = np.full(num_objectives, 1.1)
    whole = brute_force.hypervolume(scaled, reference)
    without = [
        brute_force.hypervolume(np.delete(scaled, i, axis=0), reference) for i in range(len(front))
    ]
    assert hypervolume_contributions(front).tolist() == pytest.approx(
        [whole - part for part in without]
    )


@every_rule
@given(table=tables(), random=st.randoms(use_true_random=False))
def test_isolation_does_not_depend_on_the_order(
    name: FrontRule, table: FloatArray, random: Random
) -> None:
    rule, front = isolation_rule(name), np.unique(table, axis=0)
    front = front[front_indices(front)]
    order = list(range(len(front)))
    random.shuffle(order)
    assert rule(front[order]).tolist() == rule(front)[order].tolist()


@every_rule
@given(table=tables(), scale=st.sampled_from([0.25, 2.0, 64.0]))
def test_isolation_has_no_unit(name: FrontRule, table: FloatArray, scale: float) -> None:
    rule, front = isolation_rule(name), table[front_indices(table)]
    units = scale ** np.arange(front.shape[1])
    assert rule(front * units).tolist() == pytest.approx(rule(front).tolist())


@every_rule
@given(table=tables())
def test_of_equal_points_the_first_has_the_isolation(name: FrontRule, table: FloatArray) -> None:
    rule, front = isolation_rule(name), table[front_indices(table)]
    twice = np.concatenate([front, front[::-1]])
    isolation = rule(twice)
    assert (isolation[len(front) :] == 0).all()
    assert isolation[: len(front)].tolist() == rule(front).tolist()
    assert (isolation >= 0).all()


@every_rule
@given(table=tables(max_rows=1))
def test_a_point_alone_is_isolated(name: FrontRule, table: FloatArray) -> None:
    assert isolation_rule(name)(table).tolist() == [np.inf]


@pytest.mark.parametrize("name", ["epsilon_net", "hypervolume"])
def test_point_in_a_gap_is_more_isolated_than_one_in_a_crowd(name: FrontRule) -> None:
    x = np.array([0.0, 0.04, 0.08, 0.5, 0.92, 0.96, 1.0])
    front = np.stack([x, 1 - x], axis=1)
    for order in itertools.islice(itertools.permutations(range(7)), 0, 5040, 500):
        isolation = isolation_rule(name)(front[list(order)])
        inner = {i: isolation[order.index(i)] for i in (1, 2, 3, 4, 5)}
        assert max(inner, key=lambda i: inner[i]) == 3

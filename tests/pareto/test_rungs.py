from __future__ import annotations

import math
from random import Random
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.pareto import brute_force
from tests.pareto.brute_force import FloatArray, shuffled, tables
from tunebox.pareto.isolation import FrontRule, crowding_distances, isolation_rule
from tunebox.pareto.rungs import Ladder, rung_epochs


@pytest.mark.parametrize(
    ("min_epochs", "max_epochs", "factor", "expected"),
    [
        (1, 27, 3, (1, 3, 9)),
        (1, 81, 3, (1, 3, 9, 27)),
        (1, 243, 3, (1, 3, 9, 27, 81)),
        (1, 244, 3, (1, 3, 9, 27, 81, 243)),
        (1, 5**9, 5, tuple(5**k for k in range(9))),
        (8, 32, 2, (8, 16)),
        (2, 20, 4, (2, 8)),
        (1, 1, 3, ()),
        (5, 5, 2, ()),
        (5, 6, 2, (5,)),
        (1, 1000, 10, (1, 10, 100)),
    ],
)
def test_rungs(min_epochs: int, max_epochs: int, factor: int, expected: tuple[int, ...]) -> None:
    assert rung_epochs(min_epochs, max_epochs, factor) == expected
    assert Ladder(min_epochs, max_epochs, factor).epochs == expected


@given(st.integers(1, 20), st.integers(0, 5000), st.integers(2, 10))
def test_rungs_are_all_powers_below_the_end(min_epochs: int, more: int, factor: int) -> None:
    end = min_epochs + more
    expected = [e for e in (min_epochs * factor**k for k in range(20)) if e < end]
    assert list(rung_epochs(min_epochs, end, factor)) == expected


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 9, 3), "rungs need 1 <= min_epochs <= max_epochs, got 0 and 9"),
        ((10, 9, 3), "rungs need 1 <= min_epochs <= max_epochs, got 10 and 9"),
        ((1, 9, 1), "reduction_factor must be at least 2, got 1"),
    ],
)
def test_impossible_rungs(numbers: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rung_epochs(*numbers)


def cost(*values: float) -> FloatArray:
    return np.array(values)


def test_first_trial_goes_on_and_between_rungs_every_trial_does() -> None:
    ladder = Ladder(2, 18, 3)
    assert ladder.report("a", 2, cost(0.0))
    assert not ladder.report("b", 2, cost(9.0))
    for epoch in (1, 3, 5, 7, 18):
        assert ladder.report("b", epoch, cost(9.0))


def test_rungs_do_not_mix() -> None:
    ladder = Ladder(1, 9, 3)
    for number in range(6):
        ladder.report(f"t{number}", 1, cost(0.0))
    assert ladder.report("late", 3, cost(9.0))  # the first one there


def test_second_report_at_a_rung_replaces_the_first() -> None:
    ladder = Ladder(1, 9, 3)
    for number in range(5):
        ladder.report(f"t{number}", 1, cost(float(number)))
    assert not ladder.report("x", 1, cost(9.0))
    once, again = (ladder.report("x", 1, cost(1.5)) for _ in range(2))
    assert (once, again) == (False, False)  # third of six: two go on
    assert ladder.report("x", 1, cost(0.5))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_one_objective_goes_on_among_the_best(factor: int) -> None:
    values = np.random.default_rng(factor).permutation(60).astype(float)
    ladder = Ladder(1, 100, factor)
    for n, value in enumerate(values, start=1):
        better = sum(other < value for other in values[:n])
        expected = better < math.ceil(n / factor)
        assert ladder.report(f"t{n}", 1, cost(value)) == expected


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
@pytest.mark.parametrize("factor", [2, 3])
def test_several_objectives_go_on_by_rank_then_isolation(num_objectives: int, factor: int) -> None:
    costs = shuffled(40, num_objectives, seed=factor)
    ladder = Ladder(1, 100, factor)
    went_on: list[bool] = []
    for n in range(1, len(costs) + 1):
        before, tied = brute_force.place_of_last(costs[:n], brute_force.crowding)
        expected = brute_force.goes_on(before, [went_on[row] for row in tied], n, factor)
        went_on.append(ladder.report(f"t{n}", 1, costs[n - 1]))
        assert went_on[-1] == expected


@pytest.mark.parametrize("rule", get_args(FrontRule))
@given(table=tables(max_rows=16), factor=st.integers(2, 4))
def test_decisions_are_those_of_ranking_the_rung_anew(
    rule: FrontRule, table: FloatArray, factor: int
) -> None:
    ladder, isolation = Ladder(1, 27, factor, rule), isolation_rule(rule)
    went_on: list[bool] = []
    for n in range(1, len(table) + 1):
        before, tied = brute_force.place_of_last(table[:n], isolation)
        expected = brute_force.goes_on(before, [went_on[row] for row in tied], n, factor)
        went_on.append(ladder.report(f"t{n}", 1, table[n - 1]))
        assert went_on[-1] == expected


@pytest.mark.parametrize("rule", get_args(FrontRule))
@pytest.mark.parametrize("num_levels", [1, 2, 3, 5])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_of_trials_that_tie_as_many_go_on_as_of_others(
    rule: FrontRule, num_levels: int, factor: int
) -> None:
    """First epochs at chance level, small validation sets: metrics have few values."""
    costs = np.random.default_rng(factor).integers(0, num_levels, (400, 2)).astype(float)
    ladder = Ladder(1, 27, factor, rule)
    went_on = [ladder.report(f"t{number}", 1, row) for number, row in enumerate(costs)]
    for num_trials in (100, 200, 400):
        share = sum(went_on[:num_trials]) / num_trials
        assert share == pytest.approx(1 / factor, abs=0.04)


def test_of_equal_trials_one_in_two_goes_on_and_better_ones_take_their_places() -> None:
    ladder = Ladder(1, 9, 2)
    equal = [ladder.report(f"equal{number}", 1, cost(5.0, 5.0)) for number in range(24)]
    assert equal == [True, False] * 12
    assert all(ladder.report(f"better{number}", 1, cost(4.0, 4.0)) for number in range(12))
    assert not ladder.report("equal", 1, cost(5.0, 5.0))  # 19 places, 12 for the better ones
    assert not ladder.report("worse", 1, cost(6.0, 6.0))


@given(tables(max_rows=8), st.integers(2, 4), st.data())
def test_trials_that_report_again_are_judged_where_they_are_now(
    costs: FloatArray, factor: int, data: st.DataObject
) -> None:
    ladder, latest, went_on = Ladder(1, 27, factor), dict[str, FloatArray](), dict[str, bool]()
    for row in costs:
        trial_id = data.draw(st.sampled_from("abcd"))
        latest.pop(trial_id, None)
        latest[trial_id] = row
        before, tied = brute_force.place_of_last(
            np.stack(list(latest.values())), crowding_distances
        )
        others = [went_on[list(latest)[row]] for row in tied]
        went_on[trial_id] = ladder.report(trial_id, 1, row)
        assert went_on[trial_id] == brute_force.goes_on(before, others, len(latest), factor)


@given(tables(), st.integers(2, 4), st.randoms(use_true_random=False))
def test_order_of_those_before_does_not_matter(
    costs: FloatArray, factor: int, random: Random
) -> None:
    """Asynchrony decides who is there when a trial comes, and who of those that tie was first."""
    assume(not brute_force.place_of_last(costs, crowding_distances)[1])
    order = list(range(len(costs) - 1))
    random.shuffle(order)
    decisions = []
    for rows in (costs[:-1], costs[order]):
        ladder = Ladder(1, 27, factor)
        for number, row in enumerate(rows):
            ladder.report(f"t{number}", 1, row)
        decisions.append(ladder.report("x", 1, costs[-1]))
    assert decisions[0] == decisions[1]


@given(tables(), st.integers(2, 4), st.data())
def test_violation_comes_before_all_costs(
    costs: FloatArray, factor: int, data: st.DataObject
) -> None:
    violations = data.draw(
        st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=len(costs), max_size=len(costs))
    )
    ladder, went_on = Ladder(1, 27, factor), np.zeros(len(costs), dtype=bool)
    for n, (row, violation) in enumerate(zip(costs, violations, strict=True), start=1):
        alike = np.flatnonzero(np.equal(violations[:n], violation))
        before, tied = brute_force.place_of_last(costs[alike], crowding_distances)
        before += sum(other < violation for other in violations[:n])
        expected = brute_force.goes_on(before, went_on[alike[tied]].tolist(), n, factor)
        went_on[n - 1] = ladder.report(f"t{n}", 1, row, violation)
        assert went_on[n - 1] == expected


@pytest.mark.parametrize("rule", get_args(FrontRule))
@given(costs=tables(min_rows=2), factor=st.integers(2, 4), data=st.data())
def test_dominating_trial_is_not_stopped_where_the_dominated_goes_on(
    rule: FrontRule, costs: FloatArray, factor: int, data: st.DataObject
) -> None:
    """Both judged against the same trials: all of them, each of the two as the newest."""
    ladder = Ladder(1, 27, factor, rule)
    for number, row in enumerate(costs):
        ladder.report(f"t{number}", 1, row)
    one, other = (data.draw(st.integers(0, len(costs) - 1)) for _ in range(2))
    if not brute_force.dominates(costs[one], costs[other]):
        return
    worse_goes_on = ladder.report(f"t{other}", 1, costs[other])
    better_goes_on = ladder.report(f"t{one}", 1, costs[one])
    assert better_goes_on or not worse_goes_on


@given(tables(num_objectives=2), st.integers(2, 4), st.data())
def test_improving_a_trial_of_two_objectives_never_stops_it(
    costs: FloatArray, factor: int, data: st.DataObject
) -> None:
    """The same trials seen before, then one trial or one that dominates it.

    With three objectives or more this does not hold: the better one may stand in a crowd.
    """
    step = st.integers(0, 3)
    better = costs[-1] - np.array([data.draw(step), data.draw(step)], dtype=float)
    decisions = []
    for newest in (costs[-1], better):
        ladder = Ladder(1, 27, factor)
        for number, row in enumerate(costs[:-1]):
            ladder.report(f"t{number}", 1, row)
        decisions.append(ladder.report("x", 1, newest))
    assert decisions[1] or not decisions[0]


@given(tables(), st.integers(2, 4))
def test_same_reports_give_the_same_decisions(costs: FloatArray, factor: int) -> None:
    def decide() -> list[bool]:
        ladder = Ladder(1, 27, factor)
        return [ladder.report(f"t{number}", 1, row) for number, row in enumerate(costs)]

    assert decide() == decide()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_costs_are_finite(bad: float) -> None:
    with pytest.raises(AssertionError):
        Ladder(1, 9, 3).report("a", 1, cost(0.0, bad))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_feasible_trials_come_first_then_by_violation(seed: int, num_objectives: int) -> None:
    """The decision at a rung against constrained domination written out pair by pair."""
    generator = np.random.default_rng(seed)
    costs = generator.integers(0, 5, (40, num_objectives)).astype(float)
    violations = np.maximum(0.0, generator.integers(-3, 4, 40) / 4)
    ladder = Ladder(1, 9, 2)
    for newest in range(40):
        goes_on = ladder.report(f"{newest}", 1, costs[newest], float(violations[newest]))
        count = newest + 1
        better = worse = 0  # by constrained domination, whatever else ties
        for other in range(newest):
            if violations[other] != violations[newest]:
                better += violations[other] < violations[newest]
                worse += violations[other] > violations[newest]
            else:
                gaps = costs[newest] - costs[other]
                better += bool((gaps >= 0).all() and (gaps > 0).any())
        kept = -(-count // 2)
        if better >= kept:
            assert not goes_on
        if newest - worse < kept:
            assert goes_on


def test_a_feasible_trial_goes_on_before_better_ones_that_are_not() -> None:
    ladder = Ladder(1, 9, 2)
    for number, violation in enumerate((0.5, 0.25, 1.0)):
        ladder.report(f"{number}", 1, np.array([0.0, 0.0]), violation)
    assert ladder.report("feasible", 1, np.array([5.0, 5.0]), 0.0)
    assert not ladder.report("far", 1, np.array([-1.0, -1.0]), 2.0)
    assert ladder.report("near", 1, np.array([9.0, 9.0]), 0.125)


def test_the_same_violation_is_judged_by_the_costs() -> None:
    ladder = Ladder(1, 9, 2)
    assert ladder.report("first", 1, np.array([1.0, 1.0]), 0.5)
    assert not ladder.report("worse", 1, np.array([2.0, 2.0]), 0.5)
    assert ladder.report("better", 1, np.array([0.0, 0.0]), 0.5)

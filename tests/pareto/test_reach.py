from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pareto.brute_force import FloatArray
from tunebox.pareto.reach import MIN_FINISHED, Reach

RUNGS, LAST = (2, 4), 6


def curve(start: FloatArray, generator: Random, num_objectives: int) -> list[FloatArray]:
    """Costs by epoch: on a coarse grid, so that there are ties; mostly falling."""
    costs = [start]
    for _ in range(LAST - 1):
        step = [generator.choice([-0.5, -0.25, 0.0, 0.25]) for _ in range(num_objectives)]
        costs.append(costs[-1] + np.array(step))
    return costs


def may_reach(
    reports: list[tuple[str, int, FloatArray]], finished: list[list[FloatArray]], rung: int
) -> bool:
    """Whether the last of ``reports`` may reach the front, straight from the definition."""
    costs = reports[-1][2]
    changes = [[c - curve[rung - 1] for c in curve[rung:]] for curve in finished]
    spread = np.std([np.min(of_one, axis=0) for of_one in changes], axis=0)
    futures = [costs + change - spread for of_one in changes for change in of_one]
    return any(not any((other <= future).all() for _, _, other in reports) for future in futures)


@pytest.mark.parametrize("num_objectives", [2, 3, 4])
@pytest.mark.parametrize("seed", range(8))
def test_every_answer_is_that_of_the_definition(seed: int, num_objectives: int) -> None:
    generator = Random(seed)
    reach = Reach(RUNGS, LAST, num_objectives)
    running: dict[str, list[FloatArray]] = {}
    reports: list[tuple[str, int, FloatArray]] = []
    finished: list[list[FloatArray]] = []
    answers = []
    for number in range(300):
        if len(running) < 4:
            start = np.array([generator.randrange(8) / 4 for _ in range(num_objectives)])
            running[f"t{number}"] = curve(start, generator, num_objectives)
        trial_id = generator.choice(sorted(running))
        epoch = 1 + sum(report[0] == trial_id for report in reports)
        reports.append((trial_id, epoch, running[trial_id][epoch - 1]))
        answer = reach.report(*reports[-1])
        if epoch in RUNGS and len(finished) >= MIN_FINISHED:
            assert answer == may_reach(reports, finished, epoch)
            answers.append(answer)
        else:
            assert not answer
        if epoch == LAST or (epoch in RUNGS and generator.random() < 0.2):
            curve_of_it = running.pop(trial_id)
            if epoch == LAST:
                finished.append(curve_of_it)
    assert len(answers) > 20
    assert True in answers
    # with four objectives little beats anything
    assert False in answers or num_objectives == 4


def with_finished(gains: list[tuple[float, float]]) -> Reach:
    """Trials that start at (9, 9), far from any front, and gain once, after the first rung."""
    reach = Reach(RUNGS, LAST, 2)
    for number, gain in enumerate(gains):
        for epoch in range(1, LAST + 1):
            costs = np.array([9.0, 9.0]) - (np.array(gain) if epoch > RUNGS[0] else 0.0)
            reach.report(f"done{number}", epoch, costs)
    return reach


def test_by_hand() -> None:
    # all gained (1, 2): no spread, and the front is at (8, 7)
    reach = with_finished([(1.0, 2.0)] * MIN_FINISHED)
    assert not reach.report("equal", 2, np.array([9.0, 9.0]))
    assert reach.report("a little better", 2, np.array([8.9, 9.0]))
    assert not reach.report("nothing is gained after the second rung", 4, np.array([8.5, 8.0]))


def test_a_spread_among_the_finished_gives_more_room() -> None:
    gains = [(1.0, 1.0), (1.0, 3.0)] * MIN_FINISHED  # standard deviations 0 and 1
    # best future of (9, y): (8, y - 3 - 1), while the front is at (8, 6)
    assert with_finished(gains).report("inside", 2, np.array([9.0, 9.9]))
    assert not with_finished(gains).report("outside", 2, np.array([9.0, 10.1]))


def test_too_few_finished_say_nothing() -> None:
    reach = with_finished([(1.0, 2.0)] * (MIN_FINISHED - 1))
    assert not reach.report("best of all", 2, np.array([0.0, 0.0]))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=MIN_FINISHED, max_size=12),
    st.tuples(st.integers(0, 12), st.integers(0, 12)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_what_dominates_may_where_the_other_may(
    gains: list[tuple[int, int]], costs: tuple[int, int], worse_by: tuple[int, int]
) -> None:
    better = np.array(costs, dtype=float)
    worse = better + worse_by
    # judged on the same reports: each has been there before
    answers = []
    for order in ([better, worse], [worse, better]):
        reach = with_finished([(float(a), float(b)) for a, b in gains])
        reach.report("first", 2, order[0])
        answers.append(reach.report("second", 2, order[1]))
    may_worse, may_better = answers
    assert may_better or not may_worse


def test_a_trial_that_repeats_an_epoch_changes_nothing() -> None:
    one, other = (with_finished([(1.0, 1.0), (1.0, 3.0)] * MIN_FINISHED) for _ in range(2))
    other.report("again", 1, np.array([9.0, 9.5]))
    for reach in (one, other):
        reach.report("again", 1, np.array([9.0, 9.5]))
    costs = np.array([9.0, 9.9])
    assert one.report("again", 2, costs) == other.report("again", 2, costs)
    assert one.report("again", 2, costs) == other.report("again", 2, costs)

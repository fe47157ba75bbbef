from __future__ import annotations

import random

import pytest

from tests.records.make_log import OBJECTIVES
from tunebox.decisions.budget import Budget
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState
from tunebox.engine.ending import Ending, FailureLimits
from tunebox.spec.search_settings import SearchSettings


def ended(state: TrialState, reason: str | None = None) -> TrialRecord:
    return TrialRecord("0000", {}, 0.0, state, reason=reason)


def make_ending(time_budget: float | None = None, *seconds: float) -> Ending:
    left = iter(seconds)
    budget = Budget(SearchSettings(time_budget=time_budget), TrialLog(OBJECTIVES))
    return Ending(budget, lambda: next(left, 0.0))


def test_a_search_ends_on_request_out_of_budget_or_in_trouble() -> None:
    assert make_ending().reason is None
    asked = make_ending()
    asked.is_interrupted = lambda: True
    assert asked.reason == "interrupted"
    late = make_ending(20, 19.9, 20.0)
    assert late.reason is None
    assert late.reason == "the time budget of 20 s is spent"
    late.is_interrupted = lambda: True
    assert late.reason == "the time budget of 20 s is spent"  # the first stays
    troubled = make_ending()
    troubled.end_for("first", "traceback")
    troubled.end_for("second")
    assert troubled.reason == "first"
    assert (troubled.trouble, troubled.traceback) == ("first", "traceback")


def test_three_failures_alike_before_anything_else_stop_the_search() -> None:
    limits = FailureLimits(1.0)
    failed = ended(TrialState.FAILED, "KeyError: 'x'")
    assert limits.trial_ended(failed, "KeyError at a.py:3") is None
    assert limits.trial_ended(failed, "KeyError at a.py:3") is None
    line = limits.trial_ended(failed, "KeyError at a.py:3")
    assert line is not None
    assert line.startswith("the first 3 trials failed in the same way")
    assert line.endswith("KeyError: 'x'")


@pytest.mark.parametrize("moment", range(3))
def test_a_trial_that_diverges_between_them_does_not_hide_a_bug(moment: int) -> None:
    limits = FailureLimits(1.0)
    states = [TrialState.FAILED] * 3
    states.insert(moment, TrialState.DIVERGED)
    lines = [limits.trial_ended(ended(state, "r"), "place") for state in states]
    assert lines[:3] == [None] * 3
    assert lines[3] is not None
    assert lines[3].startswith("the first 3 trials failed in the same way")


@pytest.mark.parametrize(
    "trials",
    [
        [(TrialState.FAILED, "a"), (TrialState.FAILED, "b"), (TrialState.FAILED, "a")],
        [(TrialState.DIVERGED, ""), (TrialState.FINISHED, ""), *[(TrialState.FAILED, "a")] * 3],
        [(TrialState.FAILED, "a"), (TrialState.STOPPED, ""), *[(TrialState.FAILED, "a")] * 2],
        [(TrialState.DIVERGED, "")] * 30,
    ],
)
def test_other_first_failures_do_not_stop_the_search(trials: list[tuple[TrialState, str]]) -> None:
    limits = FailureLimits(1.0)
    assert [limits.trial_ended(ended(state, "r"), at) for state, at in trials] == [None] * len(
        trials
    )


@pytest.mark.parametrize(("fraction", "failures"), [(0.5, 6), (0.3, 4), (0.05, 1), (0.95, 10)])
def test_more_than_the_fraction_of_ten_or_more_stops_it(fraction: float, failures: int) -> None:
    for seed in range(5):
        states = [TrialState.FAILED] * failures + [TrialState.FINISHED] * (10 - failures)
        random.Random(seed).shuffle(states)
        limits = FailureLimits(fraction)
        lines = [
            limits.trial_ended(ended(state, "why"), f"place {number}")
            for number, state in enumerate(states)
        ]
        assert lines[:9] == [None] * 9
        assert lines[9] == (
            f"{failures} of 10 trials failed, more than max_failed_fraction={fraction:g}, so the "
            "search was stopped; the last: why"
        )
        fewer = FailureLimits(fraction)
        states[states.index(TrialState.FAILED)] = TrialState.STOPPED
        assert not any(fewer.trial_ended(ended(s, "why"), f"{n}") for n, s in enumerate(states))

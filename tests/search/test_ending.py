from __future__ import annotations

import errno
import random
import time

import pytest

from tests.records.make_log import OBJECTIVES
from tunebox.errors import describe_os_error
from tunebox.search.budget import Budget
from tunebox.search.ending import Ending, FailureLimits, Observers
from tunebox.spec.search_spec import SearchSettings
from tunebox.trials import Report, SearchObserver, TrialLog, TrialRecord, TrialState


def ended(state: TrialState, reason: str | None = None) -> TrialRecord:
    return TrialRecord("0000", {}, 0.0, state, reason=reason)


def make_ending(time_budget: float | None = None) -> Ending:
    return Ending(Budget(SearchSettings(time_budget=time_budget), TrialLog(OBJECTIVES)))


def test_it_comes_when_asked_or_late_or_in_trouble() -> None:
    assert make_ending().reason is None
    asked = make_ending()
    asked.is_interrupted = lambda: True
    assert asked.reason == "interrupted"
    late = make_ending(time_budget=0.02)
    assert late.reason is None
    time.sleep(0.03)
    assert late.reason == "the time budget of 0.02 s is spent"
    late.is_interrupted = lambda: True
    assert late.reason == "the time budget of 0.02 s is spent"  # the first stays
    troubled = make_ending()
    troubled.end_for("first", "traceback")
    troubled.end_for("second")
    assert troubled.reason == "first"
    assert (troubled.trouble, troubled.traceback) == ("first", "traceback")


class Hearing(SearchObserver):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def trial_started(self, trial: TrialRecord) -> None:
        self.heard.append("started")

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        self.heard.append("reported")

    def trial_ended(self, trial: TrialRecord) -> None:
        self.heard.append("ended")

    def tick(self) -> None:
        self.heard.append("tick")


class Full(SearchObserver):
    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/out/journal.jsonl")


class Buggy(SearchObserver):
    def tick(self) -> None:
        raise KeyError("a mistake of ours")


def test_who_cannot_write_ends_the_search_and_the_others_still_hear() -> None:
    ending, first, last = make_ending(), Hearing(), Hearing()
    observers = Observers([first, Full(), last], ending)
    trial = ended(TrialState.RUNNING)
    observers.trial_started(trial)
    assert ending.reason is None
    observers.trial_reported(trial, Report(1, {}, 0.0))
    observers.tick()
    assert first.heard == last.heard == ["started", "reported", "tick"]
    assert ending.trouble == "/out/journal.jsonl: No space left on device"


class FullJournal(Hearing):
    """As the journal: it says once that it cannot write, and then keeps nothing more."""

    def trial_reported(self, trial: TrialRecord, report: Report) -> None:
        if report.epoch == 2:
            raise OSError(errno.ENOSPC, "No space left on device", "/out/journal.jsonl")
        super().trial_reported(trial, report)


def test_what_the_journal_cannot_keep_nobody_else_hears() -> None:
    ending, other = make_ending(), Hearing()
    observers = Observers([FullJournal(), other], ending)
    trial = ended(TrialState.RUNNING)
    observers.trial_started(trial)
    for epoch in (1, 2, 3):
        observers.trial_reported(trial, Report(epoch, {}, 0.0))
    observers.trial_started(trial)
    observers.tick()
    observers.trial_ended(trial)
    assert other.heard == ["started", "reported", "tick", "ended"]
    assert ending.trouble == "/out/journal.jsonl: No space left on device"


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        Observers([Buggy()], make_ending()).tick()


def test_every_hook_is_passed_on() -> None:
    hooks = {name for name in vars(SearchObserver) if not name.startswith("_")}
    assert hooks <= set(vars(Observers))
    assert "trial_planned" in hooks


def test_an_error_of_the_system_is_one_line() -> None:
    assert describe_os_error(OSError(28, "full", "/a")) == "/a: full"
    assert describe_os_error(OSError("odd")) == "odd"
    assert describe_os_error(TimeoutError()) == "TimeoutError"


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
def test_other_beginnings_do_not(trials: list[tuple[TrialState, str]]) -> None:
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

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import pytest
from rich.console import Console

from tests.records.make_log import OBJECTIVES, make_report
from tunebox.decisions.events import (
    Ended,
    Event,
    Planned,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
    apply_to_log,
)
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.reports.progress import SearchProgress
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Values


@dataclass
class Clock:
    now: float = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tunebox.reports.progress.time", clock)
    return clock


class Watched:
    """A search that is told to its progress, and what that printed."""

    def __init__(self, is_terminal: bool, **settings: float) -> None:
        self.file = io.StringIO()
        console = Console(
            file=self.file, force_terminal=is_terminal, width=120, height=20, legacy_windows=False
        )
        search = SearchSettings.model_validate({"trials": 8, "max_epochs": 3, **settings})
        self.log = TrialLog(OBJECTIVES)
        self.progress = SearchProgress(console, "made-1", search, self.log)
        self.progress.on(SearchStarted(0.0, "host", 1))

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue())

    def run(
        self,
        trial_id: str,
        state: TrialState,
        *points: tuple[float, float],
        settings: Values | None = None,
    ) -> None:
        self.happen(Planned(trial_id, settings or {}))
        self.happen(Started(trial_id, 0.0))
        for epoch, (clean, noisy) in enumerate(points, start=1):
            self.happen(Reported(trial_id, make_report(epoch, clean, noisy), None))
        if state is not TrialState.RUNNING:
            self.happen(Ended(trial_id, state, None, 0.0))

    def happen(self, event: Event) -> None:
        apply_to_log(self.log, event)
        self.progress.on(event)

    def run_some(self) -> None:
        self.run("a", TrialState.FINISHED, (0.25, 0.25), (0.5, 0.5), (0.5, 0.6))
        self.run("b", TrialState.STOPPED, (0.75, 0.35))
        self.run("c", TrialState.FAILED)
        self.run("d", TrialState.DIVERGED, (0.25, 0.25))
        self.run("e", TrialState.RUNNING, (0.9, 0.9))


# reference (0, 0.1): 0.5 * 0.5 and 0.25 * 0.25
GAINS = "6 epochs, front 2, hypervolume 0.3125"
COUNTS = "running 1, finished 1, stopped 1, diverged 1, failed 1 of 8 trials"


def test_plain_line_where_there_is_no_terminal(clock: Clock) -> None:
    watched = Watched(is_terminal=False)
    watched.run_some()
    watched.progress.tick()
    assert watched.text == ""  # a line a moment ago would have been a waste
    clock.now += 10
    watched.progress.tick()
    # 4 of 8 trials in 10 seconds
    assert watched.text == f"made-1: {COUNTS}; {GAINS}, time left 0:00:10\n"
    watched.progress.tick()
    assert watched.text.count("\n") == 1


def test_what_the_model_expects_follows_the_hypervolume(clock: Clock) -> None:
    watched = Watched(is_terminal=False)
    for number in range(8):
        trial_id = f"{number}"
        watched.happen(Planned(trial_id, {}, None, 0.001 * number))
        watched.happen(Started(trial_id, 0.0))
        watched.happen(Reported(trial_id, make_report(1, 0.5, 0.6), None))
        watched.happen(Ended(trial_id, TrialState.STOPPED, None, 0.0))
    watched.progress.on(SearchEnded(1.0, interrupted=False))
    assert "hypervolume 0.2500 (+0.0035 expected of 100 epochs more), time left" in watched.text


def test_last_state_is_printed(clock: Clock) -> None:
    watched = Watched(is_terminal=False)
    watched.run_some()
    watched.progress.on(SearchEnded(1.0, interrupted=False))
    assert watched.text.count("\n") == 1
    assert GAINS in watched.text
    assert "\x1b" not in watched.file.getvalue()


def test_live_display_on_a_terminal(clock: Clock) -> None:
    watched = Watched(is_terminal=True)
    watched.run_some()
    watched.progress.tick()
    assert "trials" not in watched.text
    clock.now += 0.5
    watched.progress.tick()
    for words in ("made-1", "4/8 trials", COUNTS, GAINS):
        assert words in watched.text
    watched.run("f", TrialState.STOPPED, (0.9, 0.9))
    watched.progress.on(SearchEnded(1.0, interrupted=True))
    assert "5/8 trials" in watched.text
    assert "7 epochs, front 1, hypervolume 0.7200" in watched.text
    assert watched.text.endswith("\n")


def test_best_of_each_method(clock: Clock) -> None:
    watched = Watched(is_terminal=True)
    ours: Values = {"losses": "ours", "losses/ours/weight": 0.5}
    watched.run("0", TrialState.STOPPED, (0.125, 0.125), settings={"losses": "ours"})
    watched.run("a", TrialState.FINISHED, (0.75, 0.25), settings=ours)
    watched.run("b", TrialState.STOPPED, (0.5, 0.5), settings=ours)
    clock.now += 0.5
    watched.progress.tick()
    assert "best of" not in watched.text  # there is nothing to compare
    watched.run("c", TrialState.FINISHED, (0.875, 0.125), settings={"losses": "clean_only"})
    watched.run("d", TrialState.DIVERGED, (0.9, 0.9), settings={"losses": "clean_only"})
    clock.now += 0.5
    watched.progress.tick()
    lines = [line.split() for line in watched.text.splitlines()]
    assert ["best", "of", "clean_accuracy", "noisy_accuracy"] in lines
    assert ["clean_only", "87.50", "%", "12.50", "%"] in lines
    assert ["ours", "75.00", "%", "50.00", "%"] in lines


@pytest.mark.parametrize(
    ("time_budget", "expected"), [(None, "0:01:00"), (80.0, "0:00:20"), (60.0, "0:00:00")]
)
def test_time_left_is_what_ends_first(
    clock: Clock, time_budget: float | None, expected: str
) -> None:
    watched = Watched(is_terminal=False, **({"time_budget": time_budget} if time_budget else {}))
    watched.run_some()
    clock.now += 60  # for 4 of 8 trials
    watched.progress.tick()
    assert f"time left {expected}\n" in watched.text


def test_time_left_before_the_first_trial_ended(clock: Clock) -> None:
    watched = Watched(is_terminal=False)
    watched.run("a", TrialState.RUNNING, (0.5, 0.5))
    clock.now += 10
    watched.progress.tick()
    assert "front 0, hypervolume 0.0000, time left unknown\n" in watched.text


def test_the_first_epoch_shows_that_something_happens(clock: Clock) -> None:
    watched = Watched(is_terminal=False)
    watched.run("a", TrialState.RUNNING)
    for _ in range(2):
        clock.now += 10
        watched.progress.tick()
    lines = watched.text.splitlines()
    assert "loading the data and training the first epoch, for 0:00:10 so far" in lines[0]
    assert "for 0:00:20 so far" in lines[1]
    watched.happen(Reported("a", make_report(1, 0.5, 0.5), None))
    clock.now += 10
    watched.progress.tick()
    assert "1 epochs, front 0" in watched.text.splitlines()[2]

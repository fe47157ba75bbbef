"""What becomes an event, who is told of it, and what ends a search; without Ray."""

from __future__ import annotations

import errno
import math
import os
import signal
from pathlib import Path

import pytest
import torch

from tests.engine.made_executor import MadeExecutor, Written
from tests.engine.make_running import IdleExecutor, Made, make_running
from tests.engine.make_search import SEARCH_FILE, make_spec
from tunebox.decisions.events import (
    Ended,
    Event,
    Observer,
    Paused,
    Planned,
    Promoted,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
)
from tunebox.decisions.state import Continue, SearchState, Stop
from tunebox.decisions.trials import Report, TrialLog, TrialState
from tunebox.engine.drive import RunningSearch, drive
from tunebox.engine.executor import Executor
from tunebox.errors import describe_os_error
from tunebox.records.checkpoints import checkpoint_files, write_checkpoint
from tunebox.spec.load import spec_from_source
from tunebox.spec.space import Values
from tunebox.spec.yaml_source import parse_yaml

VALUES: Values = {
    **{"model/width": 8, "model/depth": 2, "losses": "clean_only"},
    **{"optimizer/lr": 0.1, "optimizer/momentum": 0.5},
}


def lines(events: list[Event]) -> list[str]:
    """The events in short, without the planned settings."""
    found = []
    for event in events:
        match event:
            case SearchStarted() | SearchEnded() | Paused() | Promoted():
                found.append(type(event).__name__)
            case Started(trial_id):
                found.append(f"{trial_id} started")
            case Reported(trial_id, report):
                found.append(f"{trial_id} epoch {report.epoch}")
            case Ended(trial_id, state):
                found.append(f"{trial_id} {state.value}")
    return found


def events_of_a_trial(num_reports: int) -> list[Event]:
    metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.5, "train_loss": 0.5}
    events: list[Event] = [Planned("0000", VALUES), Started("0000", 1.0)]
    for epoch in range(1, num_reports + 1):
        events.append(Reported("0000", Report(epoch, metrics, 2.0), "node"))
    return events


def test_a_new_trial_is_an_event_at_once() -> None:
    made = make_running()
    starts = [made.search.next_trial() for _ in range(3)]
    assert [start.trial_id for start in starts if start] == ["0000", "0001", "0002"]
    planned = [event for event in made.events if isinstance(event, Planned)]
    assert planned == [Planned(s.trial_id, s.settings, s.seed) for s in starts if s]
    assert made.log.trials == {}  # none of them has started


def test_a_repeated_epoch_is_no_event() -> None:
    made = make_running()
    trial_id = made.start()
    for _ in range(2):  # the second time on another worker
        made.search.started(trial_id)
        for epoch in (1, 2):
            assert made.report(trial_id, epoch) == Continue(trial_id)
    made.report(trial_id, 3)
    expected = ["0000 started", *(f"0000 epoch {epoch}" for epoch in (1, 2, 3))]
    assert lines(made.events[1:]) == expected
    assert [report.epoch for report in made.log.trials[trial_id].history] == [1, 2, 3]


@pytest.mark.parametrize("last", [[], [Ended("0000", TrialState.INTERRUPTED, None, 5.0)]])
def test_a_trial_of_before_a_resume_starts_once_more(last: list[Event]) -> None:
    made = make_running(events=[*events_of_a_trial(2), Planned("0001", VALUES), *last])
    record = made.log.trials["0000"]
    assert record.state is TrialState.INTERRUPTED
    starts = [made.search.next_trial() for _ in range(3)]
    found = [(start.trial_id, start.epochs) for start in starts if start]
    assert found == [("0000", 2), ("0001", 0), ("0002", 0)]
    made.search.started("0000")
    assert [type(event) for event in made.events] == [SearchStarted, Planned, Started]
    assert (record.state, record.start_time, record.end_time) == (TrialState.RUNNING, 1.0, None)


@pytest.mark.parametrize(
    ("metrics", "state", "failed"),
    [
        ({}, TrialState.STOPPED, False),
        ({"train_loss": math.nan}, TrialState.DIVERGED, True),
        ({"other": math.inf}, TrialState.DIVERGED, True),
    ],
)
def test_the_end_of_a_trial_reaches_the_decisions(
    metrics: dict[str, float], state: TrialState, failed: bool
) -> None:
    made = make_running()
    better, trial_id = made.start(), made.start()
    made.report(better, 1, 0.6)
    assert made.report(trial_id, 1, 0.5, **metrics) == Stop(trial_id)
    assert made.decisions.ended == []  # it still is on its worker
    made.search.ended(trial_id)
    assert made.decisions.ended == [(trial_id, failed)]
    assert made.log.trials[trial_id].state is state


def test_a_trial_that_failed_before_it_started_is_a_failed_trial() -> None:
    made = make_running()
    assert made.search.next_trial() is not None
    made.search.failed("0000", "no room", "anywhere", None)
    assert lines(made.events[1:]) == ["0000 started", "0000 failed"]
    assert made.decisions.ended == [("0000", True)]


def test_a_trial_that_raised_keeps_its_traceback(tmp_path: Path) -> None:
    made = make_running(root=tmp_path)
    made.search.failed(made.start(), "KeyError: 'x'", "here", "Traceback ..")
    record = made.log.trials["0000"]
    assert (record.state, record.reason) == (TrialState.FAILED, "KeyError: 'x'")
    assert (tmp_path / "errors" / "0000.txt").read_text() == "Traceback .."
    assert made.ending.reason is None
    for _ in range(2):
        made.search.failed(made.start(), "KeyError: 'x'", "here", "Traceback ..")
    assert made.ending.trouble is not None
    assert "the first 3 trials failed in the same way" in made.ending.trouble
    assert made.ending.traceback == "Traceback .."


def test_a_note_is_shown_at_once_and_at_the_end() -> None:
    made = make_running()
    made.search.note("a line")
    assert made.search.notes == ["a line"] == made.noting.notes


class Full(Observer):
    """Cannot write a report."""

    def on(self, event: Event) -> None:
        if isinstance(event, Reported):
            raise OSError(errno.ENOSPC, "No space left on device", "/out/tables")


def test_an_observer_that_cannot_write_ends_the_search_but_the_others_get_all_events() -> None:
    first = Written()
    made = make_running(observers=[first, Full()])
    trial_id = made.start()
    assert made.ending.reason is None
    made.report(trial_id, 1)
    made.report(trial_id, 2)
    made.search.tick()
    assert made.noting.num_ticks == 1
    expected = ["SearchStarted", "0000 started", "0000 epoch 1", "0000 epoch 2"]
    assert lines(first.events) == lines(made.events) == expected
    assert made.ending.trouble == "/out/tables: No space left on device"


class FullJournal(Written):
    """As the journal: it says once that it cannot write, and then keeps nothing more."""

    def on(self, event: Event) -> None:
        if isinstance(event, Reported) and event.report.epoch == 2:
            raise OSError(errno.ENOSPC, "No space left on device", "/out/journal.jsonl")
        super().on(event)


def test_events_that_the_journal_cannot_write_reach_no_other_observer() -> None:
    made = make_running(observers=[FullJournal()])
    trial_id = made.start()
    for epoch in (1, 2, 3):
        made.report(trial_id, epoch)
    made.start()
    made.search.tick()
    assert made.noting.num_ticks == 1
    made.search.finish(is_interrupted=False)
    expected = ["SearchStarted", "0000 started", "0000 epoch 1", "SearchEnded"]
    assert lines(made.events) == expected
    assert made.ending.trouble == "/out/journal.jsonl: No space left on device"
    # whoever writes the tables at the end finds no trial that still runs
    states = {trial.state for trial in made.log.trials.values()}
    assert states == {TrialState.INTERRUPTED}


class Buggy(Observer):
    def tick(self) -> None:
        raise KeyError("a mistake of ours")


def test_a_bug_is_not_hidden() -> None:
    made = make_running(observers=[Buggy()])
    with pytest.raises(KeyError):
        made.search.tick()


def test_an_error_of_the_system_is_one_line() -> None:
    assert describe_os_error(OSError(28, "full", "/a")) == "/a: full"
    assert describe_os_error(OSError("odd")) == "odd"
    assert describe_os_error(TimeoutError()) == "TimeoutError"


class Raising(Executor):
    """Starts a trial, which reports once, and raises."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def run(self, search: RunningSearch) -> None:
        start = search.next_trial()
        assert start is not None
        search.started(start.trial_id)
        metrics = {"clean_accuracy": 0.5, "noisy_accuracy": 0.5}
        search.reported(start.trial_id, 1, metrics, "node")
        raise self._error


@pytest.mark.parametrize(
    ("error", "trouble"),
    [(KeyError("x"), "KeyError: 'x'"), (KeyboardInterrupt(), None)],
)
def test_the_records_are_complete_whatever_is_raised(
    error: BaseException, trouble: str | None
) -> None:
    written = Written()
    state = SearchState.of(make_spec())
    with pytest.raises(type(error)):
        drive(state, Raising(error), [written])
    assert lines(written.events)[-2:] == ["0000 interrupted", "SearchEnded"]
    last = written.events[-1]
    assert isinstance(last, SearchEnded)
    assert last.trouble == trouble


def test_an_error_of_the_system_ends_the_search_in_good_order() -> None:
    written = Written()
    outcome = drive(SearchState.of(make_spec()), Raising(OSError(28, "full", "/a")), [written])
    assert (outcome.trouble, outcome.reason, outcome.interrupted) == ("/a: full", "/a: full", False)
    assert lines(written.events)[-2:] == ["0000 interrupted", "SearchEnded"]


class Pressed(MadeExecutor):
    """Ctrl-C is pressed while two trials run."""

    def run(self, search: RunningSearch) -> None:
        for _ in range(2):
            start = search.next_trial()
            assert start is not None
            search.started(start.trial_id)
        os.kill(os.getpid(), signal.SIGINT)
        super().run(search)


def test_ctrl_c_ends_the_search_in_good_order() -> None:
    written = Written()
    outcome = drive(SearchState.of(make_spec()), Pressed(2), [written])
    assert (outcome.interrupted, outcome.reason, outcome.trouble) == (True, "interrupted", None)
    assert lines(written.events)[-3:] == ["0000 interrupted", "0001 interrupted", "SearchEnded"]
    last = written.events[-1]
    assert isinstance(last, SearchEnded)
    assert last.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_search_to_its_end_says_so() -> None:
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"trials": 5})
    outcome = drive(SearchState.of(spec), MadeExecutor(2), [])
    assert outcome.reason == "all 5 trials have ended"
    assert (outcome.trouble, outcome.interrupted, outcome.notes) == (None, False, [])
    assert isinstance(outcome.log, TrialLog)
    assert all(trial.end_is_final for trial in outcome.log.trials.values())


class GivesUp(MadeExecutor):
    """Gives the first trial back before it ran, as Ray does when its worker dies."""

    def __init__(self) -> None:
        super().__init__()
        self.num_runs = 0

    def run(self, search: RunningSearch) -> None:
        self.num_runs += 1
        if self.num_runs == 1:
            start = search.next_trial()
            assert start is not None
            search.give_back(start.trial_id)
            assert search.is_waiting(start.trial_id)
            return
        super().run(search)


class Forgetful(MadeExecutor):
    """Starts the trials, and returns without a word of what became of them."""

    def run(self, search: RunningSearch) -> None:
        while (start := search.next_trial()) is not None:
            search.started(start.trial_id)


def test_a_search_ends_if_its_executor_reports_nothing() -> None:
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"trials": 2})
    outcome = drive(SearchState.of(spec), Forgetful(), [])
    states = [trial.state for trial in outcome.log.trials.values()]
    assert states == [TrialState.INTERRUPTED, TrialState.INTERRUPTED]


def test_trials_that_the_executor_gave_back_are_run_later() -> None:
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"trials": 3})
    executor = GivesUp()
    outcome = drive(SearchState.of(spec), executor, [])
    assert executor.num_runs == 2
    assert list(outcome.log.trials) == ["0000", "0001", "0002"]
    assert all(trial.end_is_final for trial in outcome.log.trials.values())


@pytest.mark.parametrize("is_damaged", [False, True])
def test_an_end_recorded_after_a_kill_keeps_intact_weights(
    tmp_path: Path, is_damaged: bool
) -> None:
    """The process was killed between the last report of the trial and its end."""
    spec = spec_from_source(parse_yaml(SEARCH_FILE, "made.yaml"), {"trials": 1})
    folder = tmp_path / "checkpoints" / "0000"
    folder.parent.mkdir()
    for epoch in (3, 9):
        write_checkpoint(folder, epoch, {"weights": torch.zeros(1000)})
    newest = folder / "000009.pt"
    if is_damaged:
        newest.write_bytes(newest.read_bytes()[:-500])
    state = SearchState.of(spec)
    state.replay_events(events_of_a_trial(9))
    written = Written()
    outcome = drive(state, IdleExecutor(), [written], root=tmp_path)
    [trial] = outcome.log.front()
    assert lines(written.events) == ["SearchStarted", "0000 finished", "SearchEnded"]
    kept = None if is_damaged else "checkpoints/0000/000009.pt"
    assert trial.checkpoint == kept
    assert [path.name for path in checkpoint_files(folder)] == ([] if is_damaged else [newest.name])
    assert len(outcome.notes) == is_damaged


def test_an_end_recorded_after_a_kill_reaches_the_decisions() -> None:
    made: Made = make_running(events=events_of_a_trial(9))
    assert lines(made.events) == ["SearchStarted", "0000 finished"]
    assert made.decisions.ended == [("0000", False)]

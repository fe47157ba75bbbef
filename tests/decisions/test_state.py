"""The state of a search follows from its events alone: cut anywhere, it goes on as it was."""

from __future__ import annotations

import dataclasses

import pytest

from tests.engine.made_executor import MadeExecutor, Pausing, Written
from tests.engine.make_search import make_spec, metrics_at
from tunebox.decisions.events import (
    Ended,
    Event,
    Paused,
    Planned,
    Promoted,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
)
from tunebox.decisions.state import Command, Continue, Pause, SearchState, Start, Stop
from tunebox.decisions.trials import Report, TrialLog, TrialState
from tunebox.engine.drive import drive
from tunebox.errors import RecordsError
from tunebox.spec.search_settings import HypervolumeStalls, StopWhen
from tunebox.spec.search_spec import SearchSpec

TAKE_UP = SearchStarted(99.0, "host", 1)


def spec_of(num_trials: int = 25) -> SearchSpec:
    spec = make_spec()
    return dataclasses.replace(spec, search=spec.search.model_copy(update={"trials": num_trials}))


def state_of(spec: SearchSpec, pausing: bool = False) -> SearchState:
    if not pausing:
        return SearchState.of(spec)
    log = TrialLog(spec.objective_set, spec.constraint_set)
    return SearchState(log, Pausing(spec), spec.search, spec.space)


def events_of(spec: SearchSpec, num_workers: int, pausing: bool = False) -> list[Event]:
    written = Written()
    drive(state_of(spec, pausing), MadeExecutor(num_workers), [written])
    return written.events


def commands_of(state: SearchState, events: list[Event]) -> list[list[Command]]:
    return [state.apply(event) for event in events]


def told(events: list[Event]) -> list[Event]:
    """What was planned, reported and ended, without processes, starts and times."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, Reported):
            report = dataclasses.replace(event.report, time=0.0)
            found.append(dataclasses.replace(event, report=report))
        elif isinstance(event, Ended) and event.state is not TrialState.INTERRUPTED:
            found.append(dataclasses.replace(event, time=0.0))
        elif isinstance(event, Planned | Promoted):
            found.append(event)
    return found


@pytest.mark.parametrize("pausing", [False, True])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_command_follows_from_the_events(num_workers: int, pausing: bool) -> None:
    spec = spec_of()
    events = events_of(spec, num_workers, pausing)
    commands = commands_of(state_of(spec, pausing), events)
    for event, following in zip(events, commands, strict=True):
        if isinstance(event, Planned | Promoted):
            assert following == [Start(event.trial_id)]
        elif isinstance(event, Reported):
            (command,) = following
            assert isinstance(command, Continue | Pause | Stop)
        else:
            assert following == []
    kinds = {type(command) for following in commands for command in following}
    assert kinds == {Start, Continue, Stop} | ({Pause} if pausing else set())


@pytest.mark.parametrize("pausing", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.35, 0.62, 0.9])
def test_cut_anywhere_all_later_commands_are_the_same(share: float, pausing: bool) -> None:
    spec = spec_of()
    events = events_of(spec, 2, pausing)
    whole = commands_of(state_of(spec, pausing), events)
    middle = int(share * len(events))
    state = state_of(spec, pausing)
    state.replay_events(events[:middle])
    assert commands_of(state, events[middle:]) == whole[middle:]


def test_a_trial_that_collapsed_is_stopped_counts_as_failed_and_is_not_on_the_front() -> None:
    state = state_of(spec_of())
    planned = state.next_event()
    assert isinstance(planned, Planned)
    state.apply(planned)
    state.apply(Started("0000", 0.0))
    metrics = {"clean_accuracy": 0.1, "noisy_accuracy": 0.1, "train_loss": 4e17, "collapsed": 1.0}
    assert state.apply(Reported("0000", Report(1, metrics, 1.0), None)) == [Stop("0000")]
    end = state.result_of("0000", 2.0)
    assert (end.state, end.reason) == (TrialState.COLLAPSED, "train_loss was 4e+17 at epoch 1")
    told: list[bool] = []
    state.method.end = lambda trial_id, failed: told.append(failed)  # type: ignore[method-assign]
    state.apply(end)
    assert told == [True]
    assert state.log.front() == []


@pytest.mark.slow
@pytest.mark.parametrize("pausing", [False, True])
def test_a_search_killed_at_any_report_ends_as_the_search_that_was_not(pausing: bool) -> None:
    spec = spec_of(12)
    whole = told(events_of(spec, 1, pausing))
    num_reports = sum(isinstance(event, Reported) for event in whole)
    assert num_reports > 25
    for killed_after in range(0, num_reports, 3):
        written = Written()
        first = state_of(spec, pausing)
        with pytest.raises(KeyboardInterrupt):
            drive(first, MadeExecutor(1, killed_after), [written])
        # kill -9 writes no ends: leave out what the driver still wrote
        cut = [e for e in written.events if not isinstance(e, SearchEnded)]
        while isinstance(cut[-1], Ended) and cut[-1].state is TrialState.INTERRUPTED:
            cut.pop()
        again = state_of(spec, pausing)
        again.replay_events(cut)
        resumed = Written()
        drive(again, MadeExecutor(1), [resumed])
        assert told([*cut, *resumed.events]) == whole


def test_a_new_search_plans_its_first_trial_and_changes_nothing_by_it() -> None:
    state = state_of(spec_of())
    assert state.num_left == 25
    first = state.next_event()
    assert isinstance(first, Planned)
    assert first == state.next_event()
    assert state.log.planned == {}
    assert state.apply(first) == [Start("0000")]
    assert state.num_left == 25


def test_the_log_is_as_it_was() -> None:
    spec = spec_of()
    events = events_of(spec, 2)
    state = state_of(spec)
    state.replay_events(events)
    assert len(state.log.planned) == 25
    assert state.num_left == 0
    assert state.is_complete
    assert state.apply(TAKE_UP) == []
    states = {e.trial_id: e.state for e in events if isinstance(e, Ended)}
    assert {i: trial.state for i, trial in state.log.trials.items()} == states
    assert set(states.values()) == {TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED}
    for trial_id, trial in state.log.trials.items():
        assert trial.history == [
            e.report for e in events if isinstance(e, Reported) and e.trial_id == trial_id
        ]
        assert trial.node == "node"


def test_unfinished_trials_go_on_those_that_started_first() -> None:
    spec = spec_of(28)
    events = events_of(spec_of(25), 2)
    values = next(e.settings for e in events if isinstance(e, Planned) and e.trial_id == "0000")
    events += [Planned("0025", values), Planned("0026", values), Started("0026", 5.0)]
    events += [Planned("0027", values), Started("0027", 6.0)]
    events.append(Ended("0027", TrialState.INTERRUPTED, None, 8.0))
    state = state_of(spec)
    state.replay_events(events)
    assert state.num_left == 3
    assert state.apply(TAKE_UP) == [Start("0026"), Start("0027"), Start("0025")]
    assert state.log.trials["0026"].state is TrialState.INTERRUPTED
    assert "0025" not in state.log.trials


def test_an_end_decided_before_a_kill_is_recorded_after_it() -> None:
    """The process was killed between the last report of a trial and the line about its end."""
    spec = spec_of()
    events = events_of(spec, 2)
    for wanted in (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED):
        index = next(i for i, e in enumerate(events) if isinstance(e, Ended) and e.state is wanted)
        ended = events[index]
        assert isinstance(ended, Ended)
        state = state_of(spec)
        state.replay_events(events[:index])
        assert Stop(ended.trial_id) in state.apply(TAKE_UP)
        assert state.result_of(ended.trial_id, ended.time) == ended


def test_a_pause_decided_before_a_kill_is_recorded_after_it() -> None:
    spec = spec_of()
    events = events_of(spec, 2, pausing=True)
    index = next(i for i, e in enumerate(events) if isinstance(e, Paused))
    paused = events[index]
    assert isinstance(paused, Paused)
    state = state_of(spec, pausing=True)
    state.replay_events(events[:index])
    assert Pause(paused.trial_id) in state.apply(TAKE_UP)
    state.apply(paused)
    assert state.log.trials[paused.trial_id].state is TrialState.PAUSED
    assert Pause(paused.trial_id) not in state.apply(TAKE_UP)


@pytest.mark.slow
def test_cut_anywhere_every_end_counts_once_towards_a_stall() -> None:
    stalls = StopWhen(hypervolume_stalls=HypervolumeStalls(trials=3, tolerance=0.05))
    plain = spec_of()
    events = events_of(plain, 2)
    spec = dataclasses.replace(plain, search=plain.search.model_copy(update={"stop_when": stalls}))
    spent = []
    whole = state_of(spec)
    for event in events:
        whole.apply(event)
        spent.append(whole.budget.spent(0.0))
    assert len(set(spent)) > 1
    for end in range(1, len(events), 5):
        state = state_of(spec)
        state.replay_events([*events[:end], TAKE_UP])
        assert state.budget.spent(0.0) == spent[end - 1]


def broken(events: list[Event], what: str) -> list[Event]:
    first = next(event for event in events if isinstance(event, Planned))
    if what == "twice":
        return [first, first]
    if what == "later":
        return [dataclasses.replace(first, trial_id="0001")]
    if what == "range":
        return [dataclasses.replace(first, settings={**first.settings, "optimizer/lr": 5.0})]
    if what == "option":
        return [dataclasses.replace(first, settings={**first.settings, "losses": "other"})]
    if what == "leaf":
        return [dataclasses.replace(first, settings={**first.settings, "model/other": 1})]
    if what == "unplanned":
        return [Started("0000", 1.0)]
    report = Reported("0000", Report(1, metrics_at(first.settings, 1), 2.0), None)
    if what == "unstarted":
        return [first, report]
    assert what == "gap"
    later = dataclasses.replace(report, report=dataclasses.replace(report.report, epoch=3))
    return [first, Started("0000", 1.0), report, later]


@pytest.mark.parametrize(
    "what", ["twice", "later", "range", "option", "leaf", "unplanned", "unstarted", "gap"]
)
def test_events_of_another_search_are_one_line(what: str) -> None:
    spec = spec_of(3)
    with pytest.raises(RecordsError, match="journal does not fit this search at trial '000") as e:
        state_of(spec).replay_events(broken(events_of(spec, 1), what))
    assert "\n" not in str(e.value)


def test_each_trial_has_a_seed_that_comes_from_the_search_and_its_number() -> None:
    def seeds(seed: int) -> list[int | None]:
        spec = make_spec(seed=seed)
        state, found = SearchState.of(spec), []
        for _ in range(20):
            event = state.next_event()
            assert isinstance(event, Planned)
            state.apply(event)
            found.append(event.seed)
        assert list(state.log.seeds.values()) == found
        return found

    assert seeds(1) == seeds(1)
    assert len({*seeds(1), *seeds(2)}) == 40

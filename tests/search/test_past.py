"""A search that was interrupted goes on with all that it knew."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import pytest

from tests.search.make_search import make_decisions, make_spec, metrics_at
from tunebox.errors import RecordsError
from tunebox.events import Ended, Planned, Reported, Started, TrialEvent
from tunebox.search.budget import Budget
from tunebox.search.decisions import Decisions
from tunebox.search.past import Past, take_up
from tunebox.spec.search_spec import HypervolumeStalls, SearchSettings, SearchSpec, StopWhen
from tunebox.spec.space import Values
from tunebox.trials import Report, TrialRecord, TrialState, ended_state


@dataclass
class TwoWorkers:
    """What a search with two workers would journal, and the decisions it made on the way."""

    spec: SearchSpec
    decisions: Decisions
    events: list[TrialEvent] = field(default_factory=list)
    went_on: dict[int, bool] = field(default_factory=dict)  # by the index of a report

    def run(self, num_trials: int) -> None:
        running: dict[str, TrialRecord] = {}
        planned = 0
        while planned < num_trials or running:
            while planned < num_trials and len(running) < 2:
                trial_id = f"{planned:04d}"
                planned += 1
                values = self.decisions.suggest(trial_id)
                running[trial_id] = TrialRecord(trial_id, values, 1.0)
                self.events += [Planned(trial_id, values), Started(trial_id, 1.0)]
            for record in list(running.values()):
                if not self._epoch(record):
                    del running[record.trial_id]

    def _epoch(self, record: TrialRecord) -> bool:
        epoch = record.epochs + 1
        metrics = metrics_at(record.settings, epoch)
        if int(record.trial_id) % 7 == 3 and epoch == 2:
            metrics["train_loss"] = math.nan
        record.history.append(Report(epoch, metrics, 2.0))
        goes_on = self.decisions.report(record.trial_id, epoch, metrics)
        self.went_on[len(self.events)] = goes_on
        self.events.append(Reported(record.trial_id, record.history[-1], "node"))
        if not goes_on:
            state, reason = ended_state(record, self.spec.search.max_epochs)
            self.decisions.end(record.trial_id, failed=state is TrialState.DIVERGED)
            self.events.append(Ended(record.trial_id, state, reason, 3.0))
        return goes_on


@pytest.fixture(scope="module")
def search() -> TwoWorkers:
    spec = make_spec()
    made = TwoWorkers(spec, make_decisions(spec))
    made.run(25)
    return made


def next_reports(past: Past, events: list[TrialEvent], start: int) -> dict[int, bool]:
    """Go on with the events from ``start``, and return what is decided on each report."""
    decided = {}
    for index, event in enumerate(events[start:], start):
        if isinstance(event, Planned):
            past.decisions.adopt(event.trial_id, event.settings)
        elif isinstance(event, Reported):
            report = event.report
            decided[index] = past.decisions.report(event.trial_id, report.epoch, report.metrics)
        elif isinstance(event, Ended):
            failed = event.state is TrialState.DIVERGED
            past.decisions.end(event.trial_id, failed=failed)
    return decided


def test_nothing_is_known_of_a_new_search() -> None:
    past = take_up(make_spec())
    assert (past.log.trials, past.waiting, past.decided, past.num_planned) == ({}, {}, [], 0)
    assert past.decisions.suggest("0000")


@pytest.mark.parametrize("share", [0.1, 0.35, 0.62, 0.9])
def test_cut_anywhere_all_later_decisions_are_the_same(search: TwoWorkers, share: float) -> None:
    middle = int(share * len(search.events))
    # up to a moment at which no trial is between its last report and its end
    while isinstance(search.events[middle], Ended):
        middle += 1
    past = take_up(search.spec, search.events[:middle])
    decided = next_reports(past, search.events, middle)
    assert decided == {index: search.went_on[index] for index in decided}
    assert len(decided) == sum(isinstance(e, Reported) for e in search.events[middle:])


def test_the_log_is_as_it_was(search: TwoWorkers) -> None:
    past = take_up(search.spec, search.events)
    assert past.num_planned == 25
    assert past.waiting == {}
    assert past.decided == []
    states = {e.trial_id: e.state for e in search.events if isinstance(e, Ended)}
    assert {i: trial.state for i, trial in past.log.trials.items()} == states
    assert set(states.values()) == {*(TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED)}
    for trial_id, trial in past.log.trials.items():
        reports = [
            e.report for e in search.events if isinstance(e, Reported) and e.trial_id == trial_id
        ]
        assert trial.history == reports
        assert (trial.start_time, trial.end_time, trial.node) == (1.0, 3.0, "node")


def test_unfinished_trials_wait_those_that_started_first(search: TwoWorkers) -> None:
    events = [*search.events, Planned("0025", values := settings_of(search, "0000"))]
    events += [Planned("0026", values), Started("0026", 5.0)]
    events += [Planned("0027", values), Started("0027", 6.0)]
    events.append(Reported("0027", Report(1, metrics_at(values, 1), 7.0), "node"))
    events.append(Ended("0027", TrialState.INTERRUPTED, None, 8.0))
    past = take_up(search.spec, events)
    went_on = "0027" in past.waiting
    assert list(past.waiting) == (["0026", "0027", "0025"] if went_on else ["0026", "0025"])
    assert past.log.trials["0026"].state is TrialState.INTERRUPTED
    assert "0025" not in past.log.trials
    assert past.num_planned == 28


def settings_of(search: TwoWorkers, trial_id: str) -> Values:
    return next(
        e.settings for e in search.events if isinstance(e, Planned) and e.trial_id == trial_id
    )


def test_an_end_that_was_decided_and_not_written_is_made_up_for(search: TwoWorkers) -> None:
    """The process was killed between the last report of a trial and the line about its end."""
    for state in (TrialState.FINISHED, TrialState.STOPPED, TrialState.DIVERGED):
        index = next(
            i for i, e in enumerate(search.events) if isinstance(e, Ended) and e.state is state
        )
        ended = search.events[index]
        assert isinstance(ended, Ended)
        past = take_up(search.spec, search.events[:index])
        [record] = past.decided
        assert (record.trial_id, record.state) == (ended.trial_id, state)
        assert record.reason == ended.reason
        assert ended.trial_id not in past.waiting


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_cut_anywhere_every_end_counts_once_towards_a_stall(
    search: TwoWorkers, is_interrupted: bool
) -> None:
    stalls = HypervolumeStalls(trials=3, tolerance=0.05)
    settings = SearchSettings(stop_when=StopWhen(hypervolume_stalls=stalls))
    num_decided = 0
    for end in range(len(search.events)):
        events = search.events[:end]
        if is_interrupted:
            started = {e.trial_id for e in events if isinstance(e, Started)}
            over = {e.trial_id for e in events if isinstance(e, Ended)}
            states = [Ended(i, TrialState.INTERRUPTED, None, 4.0) for i in sorted(started - over)]
            events = [*events, *states]
        past = take_up(search.spec, events)
        budget = Budget(settings, past.log)
        for record in past.decided:
            record.end_time = 5.0
            budget.ended(record)
        assert budget.spent(0.0) == Budget(settings, past.log).spent(0.0)
        num_decided += len(past.decided)
    assert num_decided >= 25


def broken(events: list[TrialEvent], what: str) -> list[TrialEvent]:
    first = events[0]
    assert isinstance(first, Planned)
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
def test_events_of_another_search_are_one_line(search: TwoWorkers, what: str) -> None:
    with pytest.raises(RecordsError, match="journal does not fit this search at trial '000") as e:
        take_up(search.spec, broken(search.events, what))
    assert "\n" not in str(e.value)

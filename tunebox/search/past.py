"""What a search knows when it begins: nothing, or what its journal tells of earlier runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tunebox.errors import RecordsError
from tunebox.events import Ended, Planned, Reported, Started, TrialEvent
from tunebox.search.decisions import Decisions
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Range, Space, Values
from tunebox.trials import TrialLog, TrialRecord, TrialState, ended_state


@dataclass
class Past:
    """All trials so far, and decisions that have heard all that was reported."""

    log: TrialLog
    decisions: Decisions
    waiting: dict[str, Values] = field(default_factory=dict)  # to be run first, by trial
    decided: list[TrialRecord] = field(default_factory=list)  # to end, without another epoch
    num_planned: int = 0


def take_up(
    spec: SearchSpec, events: Iterable[TrialEvent] = (), known: Iterable[TrialRecord] = ()
) -> Past:
    """Return what ``events`` leave behind; the same events in the same order give the same.

    Trials of earlier searches that are ``known`` are learned from before any event.

    Decisions hear of every trial, report and end in the order in which they did before. A trial
    that did not end waits to go on, unless its last report decided on its end.

    Raises:
        RecordsError: The events are not of this search.
    """
    log = TrialLog(spec.objective_set, spec.constraint_set)
    decisions = Decisions(spec.space, log.objectives, spec.search, log.constraints, spec.start)
    for trial in known:
        decisions.learn(trial)
    past = Past(log, decisions)
    goes_on: dict[str, bool] = {}
    for event in events:
        if isinstance(event, Planned):
            _plan(past, event, spec.space)
        elif event.trial_id not in past.waiting:
            raise _mismatch(event.trial_id, "it is told of a trial that is not running")
        elif isinstance(event, Started):
            settings = past.waiting[event.trial_id]
            fresh = TrialRecord(event.trial_id, settings, event.time)
            log.trials.setdefault(event.trial_id, fresh).state = TrialState.RUNNING
        elif event.trial_id not in log.trials:
            raise _mismatch(event.trial_id, "it has not started")
        elif isinstance(event, Reported):
            goes_on[event.trial_id] = _report(past, event)
        else:
            _end(past, event)
    _look_at_unfinished(past, goes_on, spec.search.max_epochs)
    return past


def _plan(past: Past, event: Planned, space: Space) -> None:
    if event.trial_id != f"{past.num_planned:04d}":
        raise _mismatch(event.trial_id, f"trial {past.num_planned:04d} comes next")
    if not _fits(space, event.settings):
        raise _mismatch(event.trial_id, "its settings are not in the space of search.yaml")
    past.num_planned += 1
    past.decisions.adopt(event.trial_id, event.settings)
    past.waiting[event.trial_id] = event.settings


def _report(past: Past, event: Reported) -> bool:
    record, report = past.log.trials[event.trial_id], event.report
    if report.epoch != record.epochs + 1:
        raise _mismatch(event.trial_id, f"epoch {report.epoch} follows epoch {record.epochs}")
    goes_on = past.decisions.report(event.trial_id, report.epoch, report.metrics)
    record.history.append(report)
    record.node = event.node
    return goes_on


def _end(past: Past, event: Ended) -> None:
    record = past.log.trials[event.trial_id]
    record.state, record.reason, record.end_time = event.state, event.reason, event.time
    if event.state is not TrialState.INTERRUPTED:
        del past.waiting[event.trial_id]
        past.decisions.end(event.trial_id, failed=_has_failed(record))


def _look_at_unfinished(past: Past, goes_on: Mapping[str, bool], max_epochs: int) -> None:
    for trial_id in list(past.waiting):
        if not goes_on.get(trial_id, True):
            record = past.log.trials[trial_id]
            record.state, record.reason = ended_state(record, max_epochs)
            record.end_time = None  # its end has still to be told
            past.decisions.end(trial_id, failed=_has_failed(record))
            past.decided.append(record)
            del past.waiting[trial_id]
        elif trial_id in past.log.trials:
            past.log.trials[trial_id].state = TrialState.INTERRUPTED
    started = [trial_id for trial_id in past.waiting if trial_id in past.log.trials]
    past.waiting = {i: past.waiting[i] for i in (*started, *past.waiting)}


def _has_failed(record: TrialRecord) -> bool:
    return record.state in (TrialState.FAILED, TrialState.DIVERGED)


def _fits(space: Space, settings: Values) -> bool:
    """Whether the settings are those of a trial of ``space``."""
    active = [leaf for leaf in space.leaves if leaf.is_active(settings)]
    if {leaf.path for leaf in active} != set(settings):
        return False
    for leaf in active:
        value, distribution = settings[leaf.path], leaf.distribution
        if isinstance(distribution, Range):
            if isinstance(value, str | None) or not distribution.low <= value <= distribution.high:
                return False
        elif value not in distribution.options:
            return False
    return True


def _mismatch(trial_id: str, reason: str) -> RecordsError:
    return RecordsError(
        f"the journal does not fit this search at trial {trial_id!r}: {reason}; put search.yaml "
        "and journal.jsonl back as the search wrote them, or start a new search"
    )

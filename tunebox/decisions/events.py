"""What happens in a search, as plain data and in order: the lines of a journal.

Times are seconds since 1970; in a replay, seconds of its clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Values


@dataclass(frozen=True)
class SearchStarted:
    """A process takes up the search, for the first time or as a resume."""

    time: float
    host: str
    pid: int


@dataclass(frozen=True)
class Planned:
    """A trial has its settings; it may not have started."""

    trial_id: str
    settings: Values
    seed: int | None = None  # of the training; None: that of the search
    expected_gain: float | None = None  # of hypervolume, a hundred epochs; None without a model


@dataclass(frozen=True)
class Started:
    """A trial runs: for the first time, after a pause, or after a resume."""

    trial_id: str
    time: float


@dataclass(frozen=True)
class Reported:
    """A trial has trained an epoch that it had not reported before."""

    trial_id: str
    report: Report
    node: str | None
    memory: int | None = None  # bytes that its process took, if no trial took as many before


@dataclass(frozen=True)
class Paused:
    """A trial has given its worker back and may go on from its checkpoint."""

    trial_id: str
    time: float


@dataclass(frozen=True)
class Promoted:
    """A paused trial is chosen to go on; it may not have started."""

    trial_id: str


@dataclass(frozen=True)
class Ended:
    """A trial is in ``state``, for good unless it was interrupted."""

    trial_id: str
    state: TrialState
    reason: str | None
    time: float


@dataclass(frozen=True)
class SearchEnded:
    """The process ends the search; ``trouble`` says why it could not go on."""

    time: float
    interrupted: bool  # by a person
    trouble: str | None = None


TrialEvent: TypeAlias = Planned | Started | Reported | Paused | Promoted | Ended
Event: TypeAlias = SearchStarted | TrialEvent | SearchEnded


def apply_to_log(log: TrialLog, event: Event) -> None:
    """Bring ``log`` up to date with ``event``, which follows those before it."""
    match event:
        case SearchStarted():  # those that were running when an earlier process ended
            for trial in log.trials.values():
                if trial.state is TrialState.RUNNING:
                    trial.state = TrialState.INTERRUPTED
            return
        case SearchEnded() | Promoted():
            return
        case Planned(trial_id, settings, seed, gain):
            log.planned[trial_id] = settings
            if gain is not None:
                log.expected_gains[trial_id] = gain
            if seed is not None:
                log.seeds[trial_id] = seed
            return
        case Started(trial_id, time):
            seed = log.seeds.get(trial_id)
            gain = log.expected_gains.get(trial_id)
            fresh = TrialRecord(
                trial_id, log.planned[trial_id], start_time=time, seed=seed, expected_gain=gain
            )
            record = log.trials.setdefault(trial_id, fresh)
            record.state, record.end_time = TrialState.RUNNING, None
            return
    record = log.trials[event.trial_id]
    match event:
        case Reported(_, report, node, memory):
            record.history.append(report)
            record.node = node
            log.memory = max(log.memory, memory or 0)
        case Paused():
            record.state = TrialState.PAUSED
        case Ended(_, state, reason, time):
            record.state, record.reason, record.end_time = state, reason, time


class Observer:
    """Gets every event of a search, after the state of the search has applied it.

    The calls come from one thread, in order. The base class does nothing.
    """

    def on(self, event: Event) -> None:
        """Handle an event."""

    def note(self, line: str) -> None:
        """Handle a line for a person to read, such as the restart of a trial."""

    def tick(self) -> None:
        """Do periodic work; called several times a second while the search runs."""


# Makes the observer that displays a search, from the name, settings and trials of the search.
MakeObserver: TypeAlias = Callable[[str, SearchSettings, TrialLog], Observer]

"""The state of a search, and the only place where it changes: events in, commands out.

A live search, a resume and a replay of recorded curves all call `SearchState.apply`, so that they
cannot differ. It knows no Ray, no clock and no file.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tunebox.decisions.budget import Budget
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.events import (
    Ended,
    Event,
    Planned,
    Promoted,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
    apply_to_log,
)
from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.trials import (
    TrialLog,
    TrialRecord,
    TrialState,
    ended_state,
    is_lost,
)
from tunebox.errors import RecordsError
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Space, Values


@dataclass(frozen=True)
class Start:
    """Run a trial, from its checkpoint if it has trained before, when a worker is free."""

    trial_id: str


@dataclass(frozen=True)
class Continue:
    """Let a trial train one more epoch."""

    trial_id: str


@dataclass(frozen=True)
class Pause:
    """Free the worker of a trial; its checkpoint stays."""

    trial_id: str


@dataclass(frozen=True)
class Stop:
    """End a trial: it has finished, diverged or collapsed, or was stopped at a rung."""

    trial_id: str


Command: TypeAlias = Start | Continue | Pause | Stop
_COMMANDS: dict[Verdict, type[Continue | Pause | Stop]] = {
    Verdict.CONTINUE: Continue,
    Verdict.PAUSE: Pause,
    Verdict.STOP: Stop,
}

_HUNDRED = 100  # epochs that a gain is expected of


class SearchState:
    """All trials of a search, its decisions and its budget.

    Attributes:
        log: The trials.
        method: What suggests settings and judges trials.
        budget: What has been spent.
    """

    def __init__(
        self, log: TrialLog, method: SearchMethod, search: SearchSettings, space: Space
    ) -> None:
        """Start with no trial.

        Args:
            log: An empty log.
            method: The decisions, without any trial of this search.
            search: How many trials and epochs there are.
            space: What is searched; the settings of each trial must be in it.
        """
        self.log = log
        self.method = method
        self.budget = Budget(search, log)
        self._search = search
        self._space = space
        self._commands: dict[str, Command] = {}  # the last one for each trial that has not ended

    @classmethod
    def of(cls, spec: SearchSpec, known: Iterable[TrialRecord] = ()) -> "SearchState":
        """Return the state of a new search that learns from the trials ``known`` before."""
        log = TrialLog(spec.objective_set, spec.constraint_set)
        decisions = Decisions(
            spec.space, log.objectives, spec.search, log.constraints, spec.start, spec.code
        )
        for trial in known:
            decisions.learn(trial)
        return cls(log, decisions, spec.search, spec.space)

    def replay_events(self, events: Iterable[Event]) -> None:
        """Apply the events of a journal.

        Raises:
            RecordsError: The events are not of this search.
        """
        for event in events:
            self.apply(event)

    @property
    def num_unplanned(self) -> int:
        """How many trials have no settings yet."""
        return max(0, self._search.trials - len(self.log.planned))

    @property
    def num_left(self) -> int:
        """How many trials are still to be run or to go on, without those that are paused."""
        unfinished = sum(not isinstance(c, Stop | Pause) for c in self._commands.values())
        return unfinished + self.num_unplanned

    @property
    def is_complete(self) -> bool:
        """Whether every trial has ended for good."""
        ended = self.log.num_ended - self.log.count(TrialState.INTERRUPTED)
        return ended >= self._search.trials

    def command(self, trial_id: str) -> Command | None:
        """Return the last command for a trial, None once it has ended."""
        return self._commands.get(trial_id)

    def next_event(self) -> Planned | Promoted | None:
        """Return the event of what a free worker does next, if no trial waits; change nothing."""
        paused = self.method.choose_paused()
        if paused is not None:
            return Promoted(paused)
        number = len(self.log.planned)
        if number >= self._search.trials:
            return None
        trial_id = f"{number:04d}"
        settings = self.method.suggest(trial_id)
        if settings is None:
            return None
        gain = self.method.expected_gain(settings)
        if gain is not None:
            gain *= _HUNDRED / self._search.max_epochs
        return Planned(trial_id, settings, self._seed_of(number), gain)

    def apply(self, event: Event) -> list[Command]:
        """Apply ``event`` and return the commands that follow from it.

        Raises:
            RecordsError: It is not an event of this search.
        """
        match event:
            case SearchStarted():
                apply_to_log(self.log, event)
                return self._take_up()
            case SearchEnded():
                return []
            case Planned():
                return [self._plan(event)]
        if event.trial_id not in self._commands:
            raise _mismatch(event.trial_id, "an event of a trial that is not running")
        if not isinstance(event, Started) and event.trial_id not in self.log.trials:
            raise _mismatch(event.trial_id, "it has not started")
        if isinstance(event, Reported):
            return [self._report(event)]
        apply_to_log(self.log, event)
        if isinstance(event, Promoted):
            self.method.promote(event.trial_id)
            return [self._command(Start(event.trial_id))]
        if isinstance(event, Ended) and event.state is not TrialState.INTERRUPTED:
            record = self.log.trials[event.trial_id]
            del self._commands[event.trial_id]
            self.method.end(event.trial_id, failed=record.state.has_failed)
            self.budget.ended(record)
        return []

    def _seed_of(self, number: int) -> int | None:
        """Return the seed of a trial's training, from the search's seed and its number.

        With one seed for all, a seed that favours some settings would draw the sampler to them. A
        search of version 0.1.0 goes on with one, so that its trials can be compared.
        """
        if self.log.planned and not self.log.seeds:
            return None
        return int(np.random.SeedSequence([self._search.seed, number]).generate_state(1)[0])

    def result_of(self, trial_id: str, time: float) -> Ended:
        """Return the end of a trial that reports no more and did not fail."""
        state, reason = ended_state(self.log.trials[trial_id], self._search.max_epochs)
        if state is TrialState.STOPPED:
            reason = self.method.why_stopped(trial_id)
        return Ended(trial_id, state, reason, time)

    def _take_up(self) -> list[Command]:
        """Return the commands for trials that were running when an earlier process ended."""
        started: list[Command] = []
        waiting: list[Command] = []
        for trial_id, command in self._commands.items():
            if isinstance(command, Stop):
                started.append(command)
            elif isinstance(command, Pause):
                if self.log.trials[trial_id].state is not TrialState.PAUSED:
                    started.append(command)
            else:
                begun = started if trial_id in self.log.trials else waiting
                begun.append(self._command(Start(trial_id)))
        return [*started, *waiting]

    def _plan(self, event: Planned) -> Command:
        number = len(self.log.planned)
        if event.trial_id != f"{number:04d}":
            raise _mismatch(event.trial_id, f"trial {number:04d} comes next")
        if not _fits(self._space, event.settings):
            raise _mismatch(event.trial_id, "its settings are not in the space of search.yaml")
        apply_to_log(self.log, event)
        self.method.adopt(event.trial_id, event.settings)
        return self._command(Start(event.trial_id))

    def _report(self, event: Reported) -> Command:
        record, report = self.log.trials[event.trial_id], event.report
        if report.epoch != record.epochs + 1:
            raise _mismatch(event.trial_id, f"epoch {report.epoch} follows epoch {record.epochs}")
        verdict = self.method.report(event.trial_id, report.epoch, report.metrics)
        apply_to_log(self.log, event)
        self.budget.reported()
        if is_lost(report.metrics) or report.epoch >= self._search.max_epochs:
            verdict = Verdict.STOP
        return self._command(_COMMANDS[verdict](event.trial_id))

    def _command(self, command: Command) -> Command:
        self._commands[command.trial_id] = command
        return command


def _fits(space: Space, settings: Values) -> bool:
    """Whether the settings are those of a trial of ``space``."""
    active = [leaf for leaf in space.leaves if leaf.is_active(settings)]
    if {leaf.path for leaf in active} != set(settings):
        return False
    try:
        for leaf in active:
            leaf.distribution.accept(settings[leaf.path])
    except ValueError:
        return False
    return True


def _mismatch(trial_id: str, reason: str) -> RecordsError:
    return RecordsError(
        f"the journal does not fit this search at trial {trial_id!r}: {reason}; put search.yaml "
        "and journal.jsonl back as the search wrote them, or start a new search"
    )

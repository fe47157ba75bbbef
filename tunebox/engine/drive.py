"""Run a search: its state decides, an executor runs the trials, observers get every event."""

import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebox.decisions.events import (
    Ended,
    Event,
    Observer,
    Paused,
    Reported,
    SearchEnded,
    SearchStarted,
    Started,
)
from tunebox.decisions.state import Command, Continue, Pause, SearchState, Start, Stop
from tunebox.decisions.trials import Report, TrialLog, TrialState
from tunebox.engine.checkpoint_keeper import CheckpointKeeper
from tunebox.engine.ending import Ending, FailureLimits
from tunebox.engine.executor import Executor, TrialStart
from tunebox.engine.interrupt import interruptible
from tunebox.errors import describe_os_error, first_line

_CLOCK_SECONDS = 60.0  # that clocks of hosts may differ without a line about it


@dataclass(frozen=True)
class Outcome:
    """How a search ended."""

    log: TrialLog
    interrupted: bool  # by a person
    reason: str  # why it ended
    trouble: str | None  # the same, if nobody asked for the end
    traceback: str | None  # of a trial, if it explains the trouble
    notes: list[str]  # lines about single trials
    go_on: str  # a remark on how a resume goes on


def drive(
    state: SearchState,
    executor: Executor,
    observers: Sequence[Observer],
    *,
    max_failed_fraction: float = 1.0,
    root: Path | None = None,
) -> Outcome:
    """Run the search to its end, or to where its budget or a person ends it.

    Args:
        state: A new search, or one to which its journal has been applied.
        executor: What runs the trials. The time budget counts from now, by its clock.
        observers: They get every event, in this order. The first writes the journal: events that
            it cannot write do not reach the others.
        max_failed_fraction: Fraction of failed trials, in (0, 1], above which the search ends.
        root: Folder of the search: superfluous checkpoints are removed from it, and
            tracebacks of trials are written to it. None for a search without files.
    """
    start = executor.seconds()
    ending = Ending(state.budget, lambda: executor.seconds() - start)
    limits = FailureLimits(max_failed_fraction)
    search = RunningSearch(state, executor, observers, ending, limits, root)
    is_cut_short = True
    try:
        with interruptible() as interrupted:
            ending.is_interrupted = interrupted
            search.begin()
            # again for trials that the executor gave back and that wait again
            while ending.reason is None and search.has_trials_to_start:
                executor.run(search)
            is_cut_short = interrupted()
    except OSError as error:  # in Ray or in ours
        ending.end_for(describe_os_error(error))
        is_cut_short = False
    except Exception as error:
        ending.end_for(f"{type(error).__name__}: {first_line(error)}")
        raise
    finally:  # the records must be complete whatever was raised
        search.finish(is_cut_short)
    return Outcome(
        log=state.log,
        interrupted=is_cut_short,
        reason=ending.reason or f"all {len(state.log.trials)} trials have ended",
        trouble=ending.trouble,
        traceback=ending.traceback,
        notes=search.notes,
        go_on=state.budget.go_on(),
    )


class RunningSearch:
    """A running search: turns calls of the executor into events, and events into commands."""

    def __init__(
        self,
        state: SearchState,
        executor: Executor,
        observers: Sequence[Observer],
        ending: Ending,
        limits: FailureLimits,
        root: Path | None,
    ) -> None:
        self.notes: list[str] = []
        self._state = state
        self._executor = executor
        self._observers = [*observers]
        if root is not None:  # after the journal, before the observers that read checkpoints
            self._observers.insert(1, CheckpointKeeper(root, state.log, self.note))
        self._ending = ending
        self._limits = limits
        self._errors = None if root is None else root / "errors"
        self._waiting: deque[str] = deque()  # trials that wait for a free worker
        self._has_more = True  # whether the method may suggest another trial
        self._is_kept = True  # whether the journal has all events
        self._ahead = 0.0  # seconds by which the clock of an earlier process was ahead of ours

    @property
    def log(self) -> TrialLog:
        """All trials so far."""
        return self._state.log

    @property
    def stop_reason(self) -> str | None:
        """Why no further epoch is to be trained; None to go on."""
        return self._ending.reason

    def begin(self) -> None:
        """Continue what an earlier process left: record decided ends, queue trials that go on."""
        self._ahead = max(0.0, self.log.last_time - self._executor.now())
        started = SearchStarted(self._now(), socket.gethostname(), os.getpid())
        commands = self._emit(started)
        if self._ahead > _CLOCK_SECONDS:
            self.note(
                f"the clock here is {self._ahead:.0f} s behind the last event of the search: the "
                "times of new events follow on that one"
            )
        for command in commands:
            if isinstance(command, Stop):
                self.ended(command.trial_id)
            elif isinstance(command, Pause):
                self.paused(command.trial_id)

    def next_trial(self) -> TrialStart | None:
        """Return the trial that a free worker is to run; None if there is none for now."""
        # an end, not a command: no worker has the trial
        while (superfluous := self._state.method.choose_superfluous()) is not None:
            self.ended(superfluous)
        if not self._waiting:
            event = self._state.next_event()
            if event is None:
                self._has_more = False
                return None
            self._emit(event)
        trial_id = self._waiting.popleft()
        record = self.log.trials.get(trial_id)
        epochs = 0 if record is None else record.epochs
        seed = self.log.seeds.get(trial_id)
        return TrialStart(trial_id, self.log.planned[trial_id], seed, epochs)

    @property
    def has_trials_to_start(self) -> bool:
        """Whether a trial waits for a worker or is to be planned."""
        return bool(self._waiting) or (self._has_more and self._state.num_unplanned > 0)

    def give_back(self, trial_id: str) -> None:
        """Put a trial back at the head of the queue."""
        self._waiting.appendleft(trial_id)

    def command(self, trial_id: str) -> Command | None:
        """Return the last command for a trial, None once it has ended."""
        return self._state.command(trial_id)

    def is_waiting(self, trial_id: str) -> bool:
        """Whether a trial waits for a worker."""
        return trial_id in self._waiting

    def started(self, trial_id: str) -> None:
        """Record that a trial runs; one that was running has started again."""
        record = self.log.trials.get(trial_id)
        if record is None or record.state is not TrialState.RUNNING:
            self._emit(Started(trial_id, self._now()))

    def reported(
        self,
        trial_id: str,
        epoch: int,
        metrics: dict[str, float],
        node: str | None,
        memory: int | None = None,
    ) -> Command:
        """Record a report and return what the trial does next.

        Args:
            trial_id: The trial.
            epoch: Epochs that it has trained.
            metrics: By name.
            node: Name of the node that it ran on.
            memory: Bytes that its process has taken so far, None if they are not known.
        """
        record = self.log.trials[trial_id]
        if epoch != record.epochs + 1:  # repeated after a restart
            return Continue(trial_id)
        report = Report(epoch, metrics, self._now())
        is_largest = memory is not None and memory > self.log.memory
        event = Reported(trial_id, report, node, memory if is_largest else None)
        (command,) = self._emit(event)
        return command

    def paused(self, trial_id: str) -> None:
        """Record that a trial has paused and its worker is free."""
        self._emit(Paused(trial_id, self._now()))

    def ended(self, trial_id: str) -> None:
        """Record that a trial that was to stop has ended."""
        self._end(self._state.result_of(trial_id, self._now()))

    def failed(self, trial_id: str, reason: str, failed_at: str, traceback: str | None) -> None:
        """Record that a trial failed for good."""
        self.started(trial_id)  # it may have failed before it started
        if traceback is not None and self._errors is not None:
            self._keep_traceback(self._errors, trial_id, traceback)
        self._end(Ended(trial_id, TrialState.FAILED, reason, self._now()), failed_at, traceback)

    def end_for(self, trouble: str) -> None:
        """End the search because of ``trouble``."""
        self._ending.end_for(trouble)

    def note(self, line: str) -> None:
        """Show a line to the user, now and at the end of the search."""
        self.notes.append(line)
        for observer in self._observers:
            observer.note(line)

    def tick(self) -> None:
        """Let observers do their periodic work."""
        for observer in self._observers:
            self._tell(observer, None)

    def finish(self, is_interrupted: bool) -> None:
        """End the trials that still run or are paused, and emit the end of the search.

        Where a budget is spent, what the paused trials reported last is their result.
        """
        now = self._now()
        is_cut_short = is_interrupted or self._ending.trouble is not None
        for trial_id, record in list(self.log.trials.items()):
            if record.state is TrialState.RUNNING:
                self._emit(Ended(trial_id, TrialState.INTERRUPTED, None, now))
            elif record.state is TrialState.PAUSED and not is_cut_short:
                self.ended(trial_id)
        self._emit(SearchEnded(now, is_interrupted, self._ending.trouble))

    def _now(self) -> float:
        """Return the time of an event, which is never before those of earlier processes."""
        return self._executor.now() + self._ahead

    def _end(self, event: Ended, failed_at: str = "", traceback: str | None = None) -> None:
        self._emit(event)
        trouble = self._limits.trial_ended(self.log.trials[event.trial_id], failed_at)
        if trouble is not None:
            self._ending.end_for(trouble, traceback)

    def _emit(self, event: Event) -> list[Command]:
        """Apply an event to the state and pass it to the observers, the journal first.

        A resume knows only what is in the journal, so an event that cannot be written there must
        not reach other observers.
        """
        self._has_more = True
        commands = self._state.apply(event)
        self._waiting += [c.trial_id for c in commands if isinstance(c, Start)]
        for index, observer in enumerate(self._observers):
            if self._is_kept or isinstance(event, SearchEnded):
                is_done = self._tell(observer, event)
                self._is_kept = self._is_kept and (is_done or index > 0)
        return commands

    def _tell(self, observer: Observer, event: Event | None) -> bool:
        try:
            observer.tick() if event is None else observer.on(event)
        except OSError as error:
            self._ending.end_for(describe_os_error(error))
            return False
        return True

    def _keep_traceback(self, folder: Path, trial_id: str, text: str) -> None:
        try:
            folder.mkdir(exist_ok=True)
            (folder / f"{trial_id}.txt").write_text(text, encoding="utf-8")
        except OSError as error:
            self._ending.end_for(describe_os_error(error))

"""Replay: a search on recorded learning curves and a simulated clock, without training or Ray.

A recording is the log of a search in which no trial was stopped (``benchmarks/record_curves.py``
makes one). What a method suggests is answered by the nearest recorded setting, epoch by epoch.
"""

import functools
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tunebox.decisions.events import Event, Observer, Reported
from tunebox.decisions.method import SearchMethod
from tunebox.decisions.state import Continue, Pause, SearchState
from tunebox.decisions.trials import (
    Report,
    TrialLog,
    TrialRecord,
    TrialState,
    non_finite_metric,
)
from tunebox.engine.drive import RunningSearch, drive
from tunebox.engine.executor import Executor
from tunebox.pareto.constraints import Constraints
from tunebox.pareto.hypervolume import RunningHypervolume
from tunebox.pareto.objectives import FloatArray, Objectives
from tunebox.spec.search_settings import SearchSettings, StopWhen
from tunebox.spec.space import Choice, Leaf, Scalar, Space

_Branches = tuple[tuple[str, Scalar], ...]


class Recording:
    """Recorded settings, each with a curve to the last epoch or to where it diverged."""

    def __init__(self, space: Space, log: TrialLog) -> None:
        """Use the trials of ``log`` that finished or diverged; others have no complete curve.

        Raises:
            ValueError: There is none, or one lacks an epoch or its ``train_seconds``.
        """
        self.objectives: Objectives = log.objectives
        self.constraints: Constraints = log.constraints
        whole = (TrialState.FINISHED, TrialState.DIVERGED, TrialState.COLLAPSED)
        self.trials = [t for t in log.trials.values() if t.state in whole and t.history]
        if not self.trials:
            raise ValueError("a recording needs a trial that finished or diverged; it has none")
        for trial in self.trials:
            _check_curve(trial)
        self.space = space
        self.max_epochs = max(len(trial.history) for trial in self.trials)
        self._leaves = space.leaves
        self._branch_paths = {path for leaf in space.leaves for path, _ in leaf.condition}
        groups: dict[_Branches, list[TrialRecord]] = {}
        for trial in self.trials:
            groups.setdefault(self._branches(trial.settings), []).append(trial)
        self._groups = {
            branches: (trials, np.stack([self._position(t.settings) for t in trials]))
            for branches, trials in groups.items()
        }

    @functools.cached_property
    def best_hypervolume(self) -> float:
        """The hypervolume of all reports of all recorded trials that keep the constraints."""
        volume = RunningHypervolume(self.objectives.reference_costs)
        for trial in self.trials:
            for report in trial.history:
                if self.counts(report):
                    volume.add(self.objectives.costs(report.metrics))
        return volume.value

    def counts(self, report: Report) -> bool:
        """Whether a report is finite and keeps the constraints."""
        is_finite = non_finite_metric(report.metrics) is None
        return is_finite and self.constraints.are_kept(report.metrics)

    def nearest(self, values: Mapping[str, Scalar]) -> TrialRecord:
        """Return the recorded trial nearest to ``values`` among those in the same branches.

        The distance is Euclidean, with every range scaled to [0, 1], in logarithms where the
        range is; two options of a choice are 1 apart. The first recorded wins a tie.

        Raises:
            ValueError: Nothing was recorded in these branches.
        """
        branches = self._branches(values)
        if branches not in self._groups:
            where = ", ".join(f"{path}={branch}" for path, branch in branches)
            raise ValueError(f"nothing was recorded in the branches {where}; record more trials")
        trials, positions = self._groups[branches]
        squares = ((positions - self._position(values)) ** 2).sum(axis=1)
        return trials[int(np.argmin(squares))]

    def _branches(self, values: Mapping[str, Scalar]) -> _Branches:
        paths = (leaf.path for leaf in self._leaves if leaf.path in self._branch_paths)
        return tuple((path, values[path]) for path in paths if path in values)

    def _position(self, values: Mapping[str, Scalar]) -> FloatArray:
        """Return coordinates ``(D,)``; in the same branches the same leaves are active."""
        active = [leaf for leaf in self._leaves if leaf.path in values]
        return np.concatenate([np.zeros(0), *(_coordinates(x, values[x.path]) for x in active)])


def _coordinates(leaf: Leaf, value: Scalar) -> FloatArray:
    distribution = leaf.distribution
    if isinstance(distribution, Choice):  # corners of a simplex with edges of length 1
        is_option = [value is option or value == option for option in distribution.options]
        return np.array(is_option, dtype=np.float64) * math.sqrt(0.5)
    assert isinstance(value, int | float)
    low, high, place = distribution.low, distribution.high, float(value)
    if distribution.log:
        low, high, place = math.log(low), math.log(high), math.log(place)
    return np.array([(place - low) / (high - low)])


def _check_curve(trial: TrialRecord) -> None:
    for epoch, report in enumerate(trial.history, start=1):
        if report.epoch != epoch:
            raise ValueError(f"recorded trial {trial.trial_id} has no report of epoch {epoch}")
        if "train_seconds" not in report.metrics:
            raise ValueError(f"recorded trial {trial.trial_id} lacks train_seconds")


@dataclass(frozen=True)
class Replay:
    """A replayed search.

    ``seconds`` and ``hypervolumes`` have shape ``(N,)``, an entry for each report in the order of
    the clock: entry ``i`` holds after ``i + 1`` epochs, over all workers. A hypervolume is that
    of all reports so far that keep the constraints. ``log`` has the trials; its times are seconds
    of the clock. ``ended`` says why the search ended.
    """

    seconds: FloatArray
    hypervolumes: FloatArray
    log: TrialLog
    ended: str = ""

    def epochs_to(self, hypervolume: float) -> int | None:
        """Return the epochs spent when ``hypervolume`` was reached, None if it never was."""
        reached = np.flatnonzero(self.hypervolumes >= hypervolume)
        return int(reached[0]) + 1 if len(reached) else None


def replay(
    method: SearchMethod,
    recording: Recording,
    *,
    num_workers: int,
    max_epochs: int,
    max_trials: int | None = None,
    stop_when: StopWhen | None = None,
) -> Replay:
    """Run a search on recorded curves until its budget is spent.

    Args:
        method: The decisions; reports reach them in the order of the clock.
        recording: The curves to replay.
        num_workers: Trials that run at the same time; each epoch takes as long as recorded.
        max_epochs: The budget: epochs trained by all trials together.
        max_trials: A second budget: trials started; None for as many as the epochs allow.
        stop_when: Ends the search earlier; see `tunebox.decisions.budget.Budget`.

    Raises:
        ValueError: A number is below 1, or a suggestion is in branches without a recording.
    """
    limits = {"num_workers": num_workers, "max_epochs": max_epochs, "max_trials": max_trials}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be at least 1, got {limit}")
    search = SearchSettings(
        trials=max_trials or max_epochs + num_workers,  # so many start within the epochs
        epochs=max_epochs,
        max_epochs=recording.max_epochs,
        min_epochs=1,
    ).model_copy(update={"stop_when": stop_when})  # the method is given, whatever its sampler
    log = TrialLog(recording.objectives, recording.constraints)
    state = SearchState(log, method, search, recording.space)
    gains = _Gains(recording)
    outcome = drive(state, RecordedExecutor(recording, num_workers), [gains])
    return Replay(np.array(gains.seconds), np.array(gains.hypervolumes), log, outcome.reason)


@dataclass
class RecordedExecutor(Executor):
    """Answers from recorded curves; each epoch takes as long as was recorded."""

    recording: Recording
    num_workers: int
    clock: float = 0.0  # seconds
    queue: list[tuple[float, int, str]] = field(default_factory=list)  # when, tie-break, trial
    num_queued: int = 0
    curves: dict[str, list[Report]] = field(default_factory=dict)  # by trial

    def run(self, search: RunningSearch) -> None:
        """Run trials until the search has none left or has a reason to stop."""
        free = self.num_workers
        while search.stop_reason is None:
            while free and (start := search.next_trial()) is not None:
                search.started(start.trial_id)
                self._train_epoch(search.log.trials[start.trial_id])
                free -= 1
            if not self.queue:
                return
            self.clock, _, trial_id = heapq.heappop(self.queue)
            trial = search.log.trials[trial_id]
            epoch = trial.epochs + 1
            metrics = self._curve(trial)[epoch - 1].metrics
            command = search.reported(trial_id, epoch, metrics, None)
            if isinstance(command, Continue) and trial.epochs < len(self._curve(trial)):
                self._train_epoch(trial)
                continue
            free += 1
            if isinstance(command, Pause):
                search.paused(trial_id)
            else:  # the trial is to stop, or its recorded curve ends here
                search.ended(trial_id)

    def now(self) -> float:
        """Return the simulated time in seconds."""
        return self.clock

    def seconds(self) -> float:
        """Return the simulated time in seconds."""
        return self.clock

    def _curve(self, trial: TrialRecord) -> list[Report]:
        if trial.trial_id not in self.curves:
            self.curves[trial.trial_id] = self.recording.nearest(trial.settings).history
        return self.curves[trial.trial_id]

    def _train_epoch(self, trial: TrialRecord) -> None:
        """Queue the next report of a trial; ``train_seconds`` are since the trial's start."""
        history, done = self._curve(trial), trial.epochs
        before = history[done - 1].metrics["train_seconds"] if done else 0.0
        seconds = max(0.0, history[done].metrics["train_seconds"] - before)
        heapq.heappush(self.queue, (self.clock + seconds, self.num_queued, trial.trial_id))
        self.num_queued += 1


class _Gains(Observer):
    """The hypervolume of all reports so far, after each of them."""

    def __init__(self, recording: Recording) -> None:
        self.seconds: list[float] = []
        self.hypervolumes: list[float] = []
        self._recording = recording
        self._volume = RunningHypervolume(recording.objectives.reference_costs)

    def on(self, event: Event) -> None:
        if isinstance(event, Reported):
            if self._recording.counts(event.report):
                self._volume.add(self._recording.objectives.costs(event.report.metrics))
            self.seconds.append(event.report.time)
            self.hypervolumes.append(self._volume.value)

"""Replay: a search on recorded learning curves and a simulated clock, without training or Ray.

A recording is the log of a search in which no trial was stopped (``benchmarks/record_curves.py``
makes one). What a method suggests is answered by the nearest recorded setting, epoch by epoch.
`tunebox.search.decisions.Decisions` is such a method; so is any other search behind the same
three calls.
"""

import functools
import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from tunebox.pareto.constraints import Constraints
from tunebox.pareto.hypervolume import RunningHypervolume
from tunebox.pareto.objectives import FloatArray, Objectives
from tunebox.search.budget import Budget
from tunebox.spec.search_spec import SearchSettings, StopWhen
from tunebox.spec.space import Choice, Leaf, Scalar, Space, Values
from tunebox.trials import Report, TrialLog, TrialRecord, TrialState, non_finite_metric

_Branches = tuple[tuple[str, Scalar], ...]


class SearchMethod(Protocol):
    """What suggests settings and stops trials; see `tunebox.search.decisions.Decisions`."""

    def suggest(self, trial_id: str) -> Values:
        """Return the settings of the next trial."""
        ...

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Return whether the trial goes on after ``epoch``."""
        ...

    def end(self, trial_id: str, failed: bool) -> None:
        """Take in that a trial reports no more; ``failed`` if it diverged."""
        ...


@runtime_checkable
class PausingMethod(SearchMethod, Protocol):
    """A method whose ``report`` pauses a trial before its last epoch, where others stop it."""

    def promote(self) -> str | None:
        """Return the paused trial that a free worker goes on with, None to start a new one."""
        ...


class Recording:
    """Recorded settings, each with a curve to the last epoch or to where it diverged."""

    def __init__(self, space: Space, log: TrialLog) -> None:
        """Take the trials of ``log`` that finished or diverged; others have no whole curve.

        Raises:
            ValueError: There is none, or one lacks an epoch or its ``train_seconds``.
        """
        self.objectives: Objectives = log.objectives
        self.constraints: Constraints = log.constraints
        whole = (TrialState.FINISHED, TrialState.DIVERGED)
        self.trials = [t for t in log.trials.values() if t.state in whole and t.history]
        if not self.trials:
            raise ValueError("a recording needs a trial that finished or diverged; it has none")
        for trial in self.trials:
            _check_curve(trial)
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
        method: What is run; it is told of reports in the order of the clock.
        recording: What answers it.
        num_workers: Trials that run at the same time; each epoch takes as long as recorded.
        max_epochs: The budget: epochs trained by all trials together.
        max_trials: A second budget: trials started; None for as many as the epochs allow.
        stop_when: What ends the search before; see `tunebox.search.budget.Budget`.

    Raises:
        ValueError: A number is below 1, or a suggestion is in branches without a recording.
    """
    limits = {"num_workers": num_workers, "max_epochs": max_epochs, "max_trials": max_trials}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be at least 1, got {limit}")
    search = SearchSettings(epochs=max_epochs, stop_when=stop_when)
    clock = _Clock(method, recording, max_trials, search)
    for _ in range(num_workers):
        clock.fill_worker()
    while clock.queue and clock.budget.spent(clock.now) is None:
        clock.next_report()
    ended = clock.budget.spent(clock.now) or f"all {len(clock.log.trials)} trials have ended"
    for trial in clock.log.trials.values():
        if trial.state is TrialState.RUNNING:
            trial.state, trial.end_time = TrialState.INTERRUPTED, clock.now
    return Replay(np.array(clock.seconds), np.array(clock.hypervolumes), clock.log, ended)


@dataclass
class _Clock:
    """Trials at work, and when each of them reports next."""

    method: SearchMethod
    recording: Recording
    max_trials: int | None
    search: SearchSettings  # its budget
    now: float = 0.0
    queue: list[tuple[float, int, str]] = field(default_factory=list)  # when, tie-break, trial
    seconds: list[float] = field(default_factory=list)
    hypervolumes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = TrialLog(self.recording.objectives, self.recording.constraints)
        self.budget = Budget(self.search, self.log)
        self._volume = RunningHypervolume(self.recording.objectives.reference_costs)
        self._curves: dict[str, TrialRecord] = {}
        self._num_queued = 0

    def fill_worker(self) -> None:
        """Go on with a paused trial, else start one, unless ``max_trials`` have started."""
        promoted = self.method.promote() if isinstance(self.method, PausingMethod) else None
        if promoted is None:
            self._start_trial()
            return
        trial = self.log.trials[promoted]
        assert trial.state is TrialState.STOPPED
        trial.state, trial.end_time = TrialState.RUNNING, None
        self._train_epoch(promoted)

    def _start_trial(self) -> None:
        number = len(self.log.trials)
        if self.max_trials is not None and number >= self.max_trials:
            return
        trial_id = f"{number:04d}"
        values = self.method.suggest(trial_id)
        self._curves[trial_id] = self.recording.nearest(values)
        self.log.trials[trial_id] = TrialRecord(trial_id, values, start_time=self.now)
        self._train_epoch(trial_id)

    def next_report(self) -> None:
        """Move the clock to the next end of an epoch and let the method decide about it."""
        self.now, _, trial_id = heapq.heappop(self.queue)
        trial, curve = self.log.trials[trial_id], self._curves[trial_id]
        metrics = curve.history[trial.epochs].metrics
        report = Report(trial.epochs + 1, metrics, self.now)
        trial.history.append(report)
        self.budget.reported()
        diverged = non_finite_metric(metrics) is not None
        if self.recording.counts(report):
            self._volume.add(self.log.objectives.costs(metrics))
        self.seconds.append(self.now)
        self.hypervolumes.append(self._volume.value)
        goes_on = self.method.report(trial_id, trial.epochs, metrics)
        at_end = trial.epochs == len(curve.history)
        if goes_on and not at_end:
            self._train_epoch(trial_id)
            return
        trial.state = TrialState.FINISHED if at_end else TrialState.STOPPED
        trial.state = TrialState.DIVERGED if diverged else trial.state
        trial.end_time = self.now
        self.budget.ended(trial)
        # what a pausing method gave up before the end of its curve may be promoted later
        if diverged or at_end or not isinstance(self.method, PausingMethod):
            self.method.end(trial_id, failed=diverged)
        self.fill_worker()

    def _train_epoch(self, trial_id: str) -> None:
        """Queue the next report of a trial; ``train_seconds`` are since the trial's start."""
        history, done = self._curves[trial_id].history, self.log.trials[trial_id].epochs
        before = history[done - 1].metrics["train_seconds"] if done else 0.0
        seconds = max(0.0, history[done].metrics["train_seconds"] - before)
        heapq.heappush(self.queue, (self.now + seconds, self._num_queued, trial_id))
        self._num_queued += 1

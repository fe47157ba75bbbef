"""The trials of a search: settings, reports and how they ended, as plain data."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from tunebox.metrics.catalogue import COLLAPSED
from tunebox.pareto.constraints import Constraints
from tunebox.pareto.front import front_indices
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import Objectives
from tunebox.spec.space import Values

_NUM_NEWEST = 8  # trials, over which what is expected of the next epochs is averaged


class TrialState(str, Enum):
    """Whether a trial runs, is paused, or how it ended."""

    RUNNING = "running"
    FINISHED = "finished"  # trained to max_epochs
    PAUSED = "paused"  # at a rung: it may go on from its checkpoint
    STOPPED = "stopped"  # at a rung, by the scheduler
    DIVERGED = "diverged"  # its loss or a metric was not finite
    COLLAPSED = "collapsed"  # its loss exploded, and its accuracy is that of a guess
    FAILED = "failed"  # by an exception or a lost worker
    INTERRUPTED = "interrupted"  # the search ended first

    @property
    def has_failed(self) -> bool:
        """Whether the trial ended without a result."""
        return self in (TrialState.FAILED, TrialState.DIVERGED, TrialState.COLLAPSED)


@dataclass(frozen=True)
class Report:
    """The metrics of one epoch."""

    epoch: int  # from 1
    metrics: dict[str, float]
    time: float  # seconds since 1970


@dataclass
class TrialRecord:
    """One trial: its settings, its reports, and how it ended."""

    trial_id: str
    settings: Values
    start_time: float
    state: TrialState = TrialState.RUNNING
    history: list[Report] = field(default_factory=list)
    reason: str | None = None  # why it failed or diverged
    node: str | None = None  # host that trained it
    checkpoint: str | None = None  # file, relative to the folder of the search
    end_time: float | None = None
    seed: int | None = None  # of the training; None: that of the search
    expected_gain: float | None = None  # of hypervolume, a hundred epochs; None without a model

    @property
    def epochs(self) -> int:
        """Epochs trained, 0 before the first report."""
        return self.history[-1].epoch if self.history else 0

    @property
    def last_metrics(self) -> dict[str, float]:
        """The metrics of the last report, empty before the first."""
        return self.history[-1].metrics if self.history else {}

    @property
    def end_is_final(self) -> bool:
        """Whether the trial has ended for good: no resume goes on with it."""
        going_on = (TrialState.RUNNING, TrialState.PAUSED, TrialState.INTERRUPTED)
        return self.state not in going_on

    @property
    def can_be_on_front(self) -> bool:
        """Whether the trial ended as it should, so that its last report is its result.

        It then is on the front if that keeps the constraints and no other dominates it.
        """
        ended = self.state in (TrialState.FINISHED, TrialState.STOPPED)
        return ended and bool(self.history)


class TrialLog:
    """All trials of a search by id, in the order they started.

    Trials are added and grow; one that ended as it should stays as it is.
    """

    def __init__(self, objectives: Objectives, constraints: Constraints | None = None) -> None:
        self.objectives = objectives
        self.constraints = constraints or Constraints()
        self.planned: dict[str, Values] = {}  # the settings of all trials, started or not
        self.seeds: dict[str, int] = {}  # of trials with a seed of their own
        self.expected_gains: dict[str, float] = {}  # of trials that a model says something of
        self.trials: dict[str, TrialRecord] = {}
        self.memory = 0  # bytes that the process of a trial took at most, 0 if not measured
        self._results = _Results(objectives, self.constraints)

    def count(self, state: TrialState) -> int:
        """Return how many trials are in ``state``."""
        return sum(trial.state is state for trial in self.trials.values())

    @property
    def num_ended(self) -> int:
        """How many trials neither run nor are paused."""
        unfinished = self.count(TrialState.RUNNING) + self.count(TrialState.PAUSED)
        return len(self.trials) - unfinished

    @property
    def epochs_spent(self) -> int:
        """Epochs trained over all trials."""
        return sum(trial.epochs for trial in self.trials.values())

    @property
    def last_time(self) -> float:
        """When something last happened in a trial, in seconds since 1970; -inf if nothing has."""
        times = [
            time
            for trial in self.trials.values()
            for time in (trial.start_time, trial.end_time, *(r.time for r in trial.history[-1:]))
            if time is not None
        ]
        return max(times, default=float("-inf"))

    def is_feasible(self, trial: TrialRecord) -> bool | None:
        """Return whether the last report of ``trial`` keeps the constraints, None without one."""
        return self.constraints.are_kept(trial.last_metrics) if trial.history else None

    def front(self) -> list[TrialRecord]:
        """Return the non-dominated trials, best in the first objective first.

        Compares the last reports of the trials that finished or were stopped and keep the
        constraints. Of trials that are equal in all objectives the first one is returned. The time
        depends on the trials that ended since the last call, not on all.
        """
        return list(self._up_to_date().front)

    def equals(self, trial_id: str) -> list[str]:
        """Return the trials that equal a trial on the front in all objectives, by id."""
        return self._up_to_date().equals.get(trial_id, [])

    def hypervolume(self) -> float:
        """Return the hypervolume of the front up to the objectives' reference point."""
        return self._up_to_date().hypervolume

    def expected_gain(self) -> float | None:
        """Return the hypervolume that the next hundred epochs are expected to add.

        It is the mean of what the model expected of the trials that started last, each when it was
        planned. None if a model did not say it of all of them.
        """
        newest = list(itertools.islice(reversed(self.trials.values()), _NUM_NEWEST))
        gains = [trial.expected_gain for trial in newest if trial.expected_gain is not None]
        return sum(gains) / _NUM_NEWEST if len(gains) == _NUM_NEWEST else None

    def has_result(self, trial: TrialRecord) -> bool:
        """Return whether ``trial`` ended as it should and keeps the constraints."""
        return trial.can_be_on_front and bool(self.is_feasible(trial))

    def _up_to_date(self) -> "_Results":
        if not self._results.are_part_of(self):
            self._results = _Results(self.objectives, self.constraints)
        self._results.update(self)
        return self._results


class _Results:
    """The results of a log: its trials that finished or were stopped."""

    def __init__(self, objectives: Objectives, constraints: Constraints) -> None:
        self._objectives = objectives
        self._constraints = constraints
        self._num_seen = 0
        self._without_result: list[tuple[int, TrialRecord]] = []  # and their places in the log
        self._members: list[tuple[int, TrialRecord]] = []  # non-dominated, in the front's order
        self.front: list[TrialRecord] = []  # of equal ones the first
        self.equals: dict[str, list[str]] = {}  # of each trial of the front that has some
        self.hypervolume = 0.0

    def are_part_of(self, log: TrialLog) -> bool:
        """Return whether ``log`` has only grown, judged by its length and its front."""
        asks_the_same = log.objectives is self._objectives and log.constraints is self._constraints
        is_longer = len(log.trials) >= self._num_seen and asks_the_same
        return is_longer and all(
            log.trials.get(trial.trial_id) is trial and log.has_result(trial)
            for _, trial in self._members
        )

    def update(self, log: TrialLog) -> None:
        """Compare the trials that have got a result since the last call with the front."""
        trials = log.trials
        places = range(self._num_seen, len(trials))
        newest = itertools.islice(trials.values(), self._num_seen, None)
        self._without_result += zip(places, newest, strict=True)
        self._num_seen = len(trials)
        ended = [entry for entry in self._without_result if entry[1].can_be_on_front]
        self._without_result = [e for e in self._without_result if not e[1].can_be_on_front]
        with_result = [entry for entry in ended if log.has_result(entry[1])]
        if not with_result:
            return
        # by place in the log, which decides between equal trials
        compared = sorted(self._members + with_result, key=lambda entry: entry[0])
        costs = np.array([self._objectives.costs(trial.last_metrics) for _, trial in compared])
        members = front_indices(costs)
        self._members = [compared[index] for index in members]
        self.front, self.equals = [], {}
        for _, group in itertools.groupby(members, key=lambda index: tuple(costs[index])):
            first, *others = [compared[index][1] for index in group]
            self.front.append(first)
            if others:
                self.equals[first.trial_id] = [trial.trial_id for trial in others]
        self.hypervolume = hypervolume(costs, self._objectives.reference_costs)


def ended_state(trial: TrialRecord, max_epochs: int) -> tuple[TrialState, str | None]:
    """Return how a trial ended that reports no more and did not fail, and why if it diverged."""
    culprit = non_finite_metric(trial.last_metrics)
    if culprit is not None:
        value = trial.last_metrics[culprit]
        return TrialState.DIVERGED, f"{culprit} was {value} at epoch {trial.epochs}"
    if has_collapsed(trial.last_metrics):
        loss = trial.last_metrics.get("train_loss", math.nan)
        return TrialState.COLLAPSED, f"train_loss was {loss:.3g} at epoch {trial.epochs}"
    if trial.epochs >= max_epochs:
        return TrialState.FINISHED, None
    return TrialState.STOPPED, None


def why_no_front(log: TrialLog) -> str:
    """Return why the front of ``log`` is empty."""
    if any(trial.can_be_on_front for trial in log.trials.values()):
        return f"no trial keeps the constraints {log.constraints}"
    return "no trial ended as it should"


def is_lost(metrics: Mapping[str, float]) -> bool:
    """Return whether a trial with these metrics diverged or collapsed, so that it ends here."""
    return non_finite_metric(metrics) is not None or has_collapsed(metrics)


def has_collapsed(metrics: Mapping[str, float]) -> bool:
    """Return whether a trial with these metrics collapsed."""
    return bool(metrics.get(COLLAPSED))


def non_finite_metric(metrics: Mapping[str, float]) -> str | None:
    """Return the name of the first metric that is NaN or infinite, or None."""
    return next((name for name, value in metrics.items() if not math.isfinite(value)), None)

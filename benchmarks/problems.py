"""Search problems of which the truth is known, and searches on them with a simulated clock.

Each setting has a true learning curve. A training reports it with the noise of that training, if
the problem has noise. What a search has reached is judged by the truth.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tunebox.decisions.events import Ended, Event, Observer, Paused, Promoted, Reported
from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.engine.drive import drive
from tunebox.engine.recorded import RecordedExecutor, Recording
from tunebox.pareto.dominance import is_nondominated
from tunebox.pareto.hypervolume import RunningHypervolume, hypervolume
from tunebox.pareto.objectives import FloatArray, Objectives
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Space, Values


@dataclass(frozen=True)
class Training:
    """One training to the last epoch; costs are lower for better."""

    true_costs: FloatArray  # (E, D)
    costs: FloatArray  # (E, D), as reported
    seconds: FloatArray  # (E,), since its start


class Problem(ABC):
    """A search problem.

    Attributes:
        name: Its name in tables.
        space: What is searched.
        max_epochs: E, the epochs of a full training.
        objectives: Its D objectives, with the reference point.
        best_hypervolume: That of the true front.
        has_noise: Whether a training reports something else than the truth.
    """

    name: str
    space: Space
    max_epochs: int
    objectives: Objectives
    best_hypervolume: float
    has_noise: bool

    @abstractmethod
    def true_costs(self, values: list[Values], epochs: list[int]) -> FloatArray:
        """Return the true costs ``(N, len(epochs), D)`` of settings at some epochs."""

    @abstractmethod
    def train(self, values: Values, generator: np.random.Generator) -> Training:
        """Return a training with ``values``, whose noise comes from ``generator``."""


@dataclass(frozen=True)
class Played:
    """A search on a problem.

    ``shares`` has shape ``(N,)``: entry ``i`` is the share of the true front's hypervolume after
    ``i + 1`` epochs over all workers. ``suggestion_seconds`` has the CPU time of each suggestion.
    """

    shares: FloatArray
    suggestion_seconds: FloatArray
    num_trials: int


def play(method: SearchMethod, problem: Problem, *, workers: int, budget: int, seed: int) -> Played:
    """Run a search on a problem until ``budget`` epochs are spent over all trials.

    Args:
        method: The decisions, without any trial.
        problem: What answers.
        workers: Trials that run at the same time.
        budget: Epochs trained by all trials together.
        seed: Random seed of the noise.
    """
    search = SearchSettings(
        trials=budget + workers, epochs=budget, max_epochs=problem.max_epochs, min_epochs=1
    )
    timed = _Timed(method)
    executor = _ProblemExecutor(problem, workers, seed)
    score = _Score(problem, executor)
    log = TrialLog(problem.objectives)
    drive(SearchState(log, timed, search, problem.space), executor, [score])
    shares = np.array(score.hypervolumes) / problem.best_hypervolume
    return Played(shares, np.array(timed.seconds), len(log.trials))


class _ProblemExecutor(RecordedExecutor):
    """Answers with trainings of a problem."""

    def __init__(self, problem: Problem, workers: int, seed: int) -> None:
        super().__init__(_NO_RECORDING, workers)
        self._problem = problem
        self._seed = seed
        self.true_costs: dict[str, FloatArray] = {}  # by trial

    def _curve(self, trial: TrialRecord) -> list[Report]:
        if trial.trial_id not in self.curves:
            generator = np.random.default_rng([self._seed, int(trial.trial_id)])
            training = self._problem.train(trial.settings, generator)
            self.true_costs[trial.trial_id] = training.true_costs
            self.curves[trial.trial_id] = _reports(training, self._problem.objectives)
        return self.curves[trial.trial_id]


_RESULTS = (TrialState.FINISHED, TrialState.STOPPED)
_NO_RECORDING: Recording = None  # type: ignore[assignment]  # every curve comes from a problem


def _reports(training: Training, objectives: Objectives) -> list[Report]:
    reports = []
    for index, costs in enumerate(training.costs):
        metrics = {
            objective.name: float(-cost if objective.maximize else cost)
            for objective, cost in zip(objectives, costs, strict=True)
        }
        metrics["train_seconds"] = float(training.seconds[index])
        reports.append(Report(index + 1, metrics, 0.0))
    return reports


class _Score(Observer):
    """The true hypervolume after each report.

    Without noise it is that of all reports. With noise it is that of the front which the search
    would print: the trials that are on the front by what they reported last, of those that have
    ended or are paused.
    """

    def __init__(self, problem: Problem, executor: _ProblemExecutor) -> None:
        self.hypervolumes: list[float] = []
        self._problem = problem
        self._executor = executor
        self._all = RunningHypervolume(problem.objectives.reference_costs)
        self._ends: dict[str, tuple[FloatArray, FloatArray]] = {}  # reported and true costs
        self._last_epoch: dict[str, int] = {}

    def on(self, event: Event) -> None:
        if isinstance(event, Reported):
            epoch = self._last_epoch[event.trial_id] = event.report.epoch
            if not self._problem.has_noise:
                self._all.add(self._executor.true_costs[event.trial_id][epoch - 1])
                self.hypervolumes.append(self._all.value)
            else:
                self.hypervolumes.append(self.hypervolumes[-1] if self.hypervolumes else 0.0)
        elif not self._problem.has_noise:
            return
        elif isinstance(event, Paused) or (isinstance(event, Ended) and event.state in _RESULTS):
            self._end(event.trial_id)
            self.hypervolumes[-1] = self._printed()
        elif isinstance(event, Promoted):
            self._ends.pop(event.trial_id)

    def _end(self, trial_id: str) -> None:
        last = self._last_epoch[trial_id] - 1
        report = self._executor.curves[trial_id][last]
        reported = self._problem.objectives.costs(report.metrics)
        self._ends[trial_id] = (reported, self._executor.true_costs[trial_id][last])

    def _printed(self) -> float:
        ends = list(self._ends.values())
        on_front = is_nondominated(np.stack([reported for reported, _ in ends]))
        true = np.stack([costs for _, costs in ends])[on_front]
        return hypervolume(true, self._problem.objectives.reference_costs)


class _Timed(SearchMethod):
    """A method whose suggestions are timed, in seconds of CPU."""

    def __init__(self, method: SearchMethod) -> None:
        self._method = method
        self.rungs = method.rungs
        self.seconds: list[float] = []

    def suggest(self, trial_id: str) -> Values | None:
        start = time.process_time()
        values = self._method.suggest(trial_id)
        self.seconds.append(time.process_time() - start)
        return values

    def adopt(self, trial_id: str, values: Values) -> None:
        self._method.adopt(trial_id, values)

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        return self._method.report(trial_id, epoch, metrics)

    def expected_gain(self, values: Values) -> float | None:
        return self._method.expected_gain(values)

    def choose_paused(self) -> str | None:
        return self._method.choose_paused()

    def choose_superfluous(self) -> str | None:
        return self._method.choose_superfluous()

    def promote(self, trial_id: str) -> None:
        self._method.promote(trial_id)

    def end(self, trial_id: str, failed: bool) -> None:
        self._method.end(trial_id, failed)

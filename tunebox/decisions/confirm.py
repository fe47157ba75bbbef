"""The decisions of ``tunebox confirm``: which trial of a search is trained again, with which seed.

A retraining is a trial of a search of its own. Its settings are those of the trial that it
repeats, and one more: ``training/seed``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState, non_finite_metric
from tunebox.metrics.catalogue import TEST
from tunebox.pareto.confirmed import next_trial
from tunebox.pareto.dominance import nondomination_ranks
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray, Objectives
from tunebox.spec.space import Scalar, Values

MOST_SEEDS = 2**31  # of which the new ones are drawn


@dataclass(frozen=True)
class Candidate:
    """A trial that is trained again.

    Attributes:
        trial_id: Its name in the search.
        settings: Its settings in the search.
        seed_path: Where its retraining has its seed.
        metrics: Its result in the search; empty unless it finished.
        is_sure: Whether it is trained again in any case: it is on the front, or the best of a
            method.
    """

    trial_id: str
    settings: Values
    seed_path: str
    metrics: Mapping[str, float]
    is_sure: bool

    def with_seed(self, seed: int) -> Values:
        """Return the settings of its retraining with ``seed``."""
        return {**self.settings, self.seed_path: seed}

    def is_repeated_by(self, settings: Mapping[str, Scalar]) -> bool:
        """Return whether ``settings`` are those of a retraining of it."""
        own = {path: value for path, value in self.settings.items() if path != self.seed_path}
        return self.seed_path in settings and own == {
            path: value for path, value in settings.items() if path != self.seed_path
        }


@dataclass
class Retrained:
    """What the retrainings of a candidate gave.

    Attributes:
        costs: Of the seeds that ended, ``(n, D)``; the reference point for one that diverged.
        records: The retrainings, in the order of ``costs``.
        num_collapsed: Seeds that diverged, or lost more than half of the way from the result of
            the search to the reference point.
    """

    costs: FloatArray
    records: list[TrialRecord] = field(default_factory=list)
    num_collapsed: int = 0

    @property
    def num_untested(self) -> int:
        """Seeds that trained to their end and were not measured on the test set."""
        return sum(is_untested(record) for record in self.records)


def is_untested(record: TrialRecord) -> bool:
    """Return whether a retraining reached its end and was not measured on the test set."""
    return record.state is TrialState.FINISHED and not has_test(record.last_metrics)


def has_test(metrics: Iterable[str]) -> bool:
    """Return whether the names of ``metrics`` say that the test set was measured."""
    return any(name.startswith(TEST) for name in metrics)


def choose_trials(log: TrialLog, layers: int, branch: str | None) -> list[tuple[TrialRecord, bool]]:
    """Return the trials that are worth another training, and whether each gets one in any case.

    These are the front, the best trial of each method, which get one, and the near misses: the
    trials of the first ``layers`` layers of non-domination that finished.

    Args:
        log: A search that has ended.
        layers: Number of layers; the front is the first.
        branch: The path whose value is the method of a trial; None where there are no methods.
    """
    results = [trial for trial in log.trials.values() if log.has_result(trial)]
    if not results:
        return []
    costs = np.array([log.objectives.costs(trial.last_metrics) for trial in results])
    ranks = nondomination_ranks(costs)
    sure = [trial.trial_id for trial in log.front()] + _best_of_methods(log, results, branch)
    order = sorted(range(len(results)), key=lambda index: (ranks[index], index))
    chosen = []
    for index in order:
        trial = results[index]
        if trial.trial_id in sure:
            chosen.append((trial, True))
        elif ranks[index] < layers and trial.state is TrialState.FINISHED:
            chosen.append((trial, False))
    return chosen


def _best_of_methods(
    log: TrialLog, results: Sequence[TrialRecord], branch: str | None
) -> list[str]:
    """Return for each method the trial that alone dominates the largest hypervolume."""
    best: dict[Scalar, tuple[float, str]] = {}
    for trial in results if branch is not None else ():
        costs = log.objectives.costs(trial.last_metrics)[None]
        volume = hypervolume(costs, log.objectives.reference_costs)
        method = trial.settings.get(branch or "")
        if trial.state is TrialState.FINISHED and volume > best.get(method, (-1.0, ""))[0]:
            best[method] = volume, trial.trial_id
    return [trial_id for _, trial_id in best.values()]


def searched_costs(candidates: Sequence[Candidate], objectives: Objectives) -> FloatArray:
    """Return the costs of the candidates in the search, ``(M, D)``; NaN for one without result."""
    nothing = np.full(len(objectives), np.nan)
    rows = [objectives.costs(c.metrics) if c.metrics else nothing for c in candidates]
    return np.array(rows, dtype=np.float64)


def finished_costs(log: TrialLog) -> FloatArray:
    """Return the costs of the trials of a search that finished and have a result, ``(N, D)``."""
    found = [t for t in log.trials.values() if log.has_result(t) and t.state is TrialState.FINISHED]
    rows = [log.objectives.costs(trial.last_metrics) for trial in found]
    return np.array(rows, dtype=np.float64).reshape(-1, len(log.objectives))


def collect(candidates: Sequence[Candidate], log: TrialLog) -> list[Retrained]:
    """Return what the retrainings in ``log`` that ended gave, for each candidate."""
    objectives = log.objectives
    found = [Retrained(np.zeros((0, len(objectives)))) for _ in candidates]
    searched = searched_costs(candidates, objectives)
    for record in log.trials.values():
        if not record.end_is_final or record.state is TrialState.FAILED:
            continue
        for index, candidate in enumerate(candidates):
            if candidate.is_repeated_by(record.settings):
                costs, collapsed = _seed_costs(record, objectives, searched[index])
                found[index].costs = np.vstack([found[index].costs, costs])
                found[index].records.append(record)
                found[index].num_collapsed += collapsed
                break
    return found


def _seed_costs(
    record: TrialRecord, objectives: Objectives, searched: FloatArray
) -> tuple[FloatArray, bool]:
    worst = objectives.reference_costs
    metrics = record.last_metrics
    if record.state is not TrialState.FINISHED or non_finite_metric(metrics) is not None:
        return worst, True
    costs = objectives.costs(metrics)
    lost = costs - searched > 0.5 * (worst - searched)  # False where there is no result
    return costs, bool((lost & (searched < worst)).any())


class ConfirmMethod(SearchMethod):
    """Gives the seeds to the candidates where they decide most; each retraining goes to its end."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        log: TrialLog,
        *,
        most_seeds: int,
        max_epochs: int,
        seed: int,
        measures_test: bool = True,
    ) -> None:
        """Start without any retraining.

        Args:
            candidates: What may be trained again, the most important first.
            log: The retrainings; brought up to date by the state of the search.
            most_seeds: New seeds that a candidate gets at most.
            max_epochs: Epochs of a retraining.
            seed: The random seed of the search, from which the new seeds are derived.
            measures_test: Whether retrainings are measured on the test set. Then those that the
                search made before, for its ``repeats``, count neither for ``most_seeds`` nor where
                a candidate is sure to get a seed.
        """
        self._candidates = candidates
        self._log = log
        self._most_seeds = most_seeds
        self._seed = seed
        self._measures_test = measures_test
        self.rungs = (max_epochs,)

    def suggest(self, trial_id: str) -> Values | None:
        """Return a candidate's settings and a new seed, None when no more seeds are worth it."""
        counts = [self._num_planned(candidate) for candidate in self._candidates]
        found = collect(self._candidates, self._log)
        chosen = next_trial(
            searched_costs(self._candidates, self._log.objectives),
            [retrained.costs for retrained in found],
            counts,
            most=self._most_seeds,
            is_sure=[candidate.is_sure for candidate in self._candidates],
            generator=np.random.default_rng([self._seed, sum(counts)]),
            before=[retrained.num_untested * self._measures_test for retrained in found],
            own_spread=[retrained.num_collapsed > 0 for retrained in found],
        )
        if chosen is None:
            return None
        candidate = self._candidates[chosen]
        return candidate.with_seed(new_seed(self._seed, candidate.trial_id, counts[chosen]))

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        """Let the retraining go on to its end; one that is not finite stops."""
        return Verdict.CONTINUE if non_finite_metric(metrics) is None else Verdict.STOP

    def end(self, trial_id: str, failed: bool) -> None:
        """Do nothing: the log has the end."""

    def _num_planned(self, candidate: Candidate) -> int:
        return sum(candidate.is_repeated_by(values) for values in self._log.planned.values())


def new_seed(search_seed: int, trial_id: str, number: int) -> int:
    """Return the seed of retraining ``number``, from 0, of a trial; the same for the same three."""
    name = int.from_bytes(trial_id.encode(), "big")
    sequence = np.random.SeedSequence([search_seed, name, number])
    return int(sequence.generate_state(1, np.uint64)[0] % MOST_SEEDS)

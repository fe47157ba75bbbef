"""What a confirmation says about a search: its trials, its front, and how much too good it was."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tunebox.decisions.confirm import (
    Candidate,
    Retrained,
    collect,
    is_untested,
    searched_costs,
)
from tunebox.decisions.trials import TrialLog
from tunebox.metrics.catalogue import TEST, TEST_IMAGES
from tunebox.pareto.best_guesses import best_guesses
from tunebox.pareto.confirmed import (
    Means,
    alike_neighbours,
    front_shares,
    means_of,
    student_quantile,
    with_images,
)
from tunebox.pareto.objectives import FloatArray, Objectives

SHARES_OF_IMAGES = ("clean_accuracy", "noisy_accuracy")


@dataclass(frozen=True)
class Estimate:
    """A value and half the width of its 95 % interval, NaN where too few seeds tell it."""

    value: float
    half_width: float


@dataclass(frozen=True)
class ConfirmedTrial:
    """A trial of the search that was trained again with new seeds.

    Attributes:
        trial_id: Its name in the search.
        num_seeds: New seeds that ended.
        num_collapsed: Those of them that diverged or collapsed.
        searched: Its objectives in the search, of one seed; empty unless it finished there.
        means: Objectives on the validation set, over the new seeds.
        test_means: The same on the test set, over the new seeds that were measured there, with
            intervals that also cover the choice of its images; without objectives that are not
            measured there.
        best_guesses: The means with the search's own result as one seed more, drawn towards those
            of all trials (`tunebox.pareto.best_guesses`): by these trials are compared.
        front_share: Probability that it is on the true front of the trials compared.
        on_front: Whether it is on the front of the best guesses.
        is_knee: Whether it is the knee of that front, as far as can be told.
        alike: Its neighbours on that front from which it cannot be told apart.
    """

    trial_id: str
    num_seeds: int
    num_collapsed: int
    searched: dict[str, float]
    means: dict[str, Estimate]
    test_means: dict[str, Estimate]
    best_guesses: dict[str, float]
    front_share: float
    on_front: bool = False
    is_knee: bool = False
    alike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Confirmed:
    """A confirmed search.

    Attributes:
        trials: Those with at least one new seed; the front first, in its order.
        hypervolume: Of the front, with the true means of its trials.
        too_good: By how much the search's results of its own front were better than the means
            over new seeds, by objective; in the direction of the objective.
        too_good_on_test: The same, compared with the means on the test set.
        objectives: Of the search.
    """

    trials: list[ConfirmedTrial]
    hypervolume: Estimate
    too_good: dict[str, Estimate]
    too_good_on_test: dict[str, Estimate] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()

    @property
    def front(self) -> list[ConfirmedTrial]:
        """The front, best in the first objective first."""
        return [trial for trial in self.trials if trial.on_front]

    @property
    def alike_pairs(self) -> list[tuple[str, str]]:
        """The neighbours on the front that cannot be told apart, each pair once."""
        pairs = [sorted((one.trial_id, other)) for one in self.front for other in one.alike]
        return list(dict.fromkeys((first, second) for first, second in pairs))

    def trial(self, trial_id: str) -> ConfirmedTrial | None:
        """Return a trial by its name, None if it was not trained again."""
        return next((trial for trial in self.trials if trial.trial_id == trial_id), None)


def confirmed(
    candidates: Sequence[Candidate],
    log: TrialLog,
    front: Sequence[str],
    finished: FloatArray,
    seed: int = 0,
) -> Confirmed | None:
    """Return what the retrainings in ``log`` say; None while none has ended.

    Args:
        candidates: The trials that they repeat.
        log: The retrainings.
        front: The trials on the search's own front.
        finished: Costs of the trials that finished in the search, as
            `tunebox.decisions.confirm.finished_costs` gives them.
        seed: Of the draws of true means.
    """
    found = collect(candidates, log)
    known = [index for index, retrained in enumerate(found) if len(retrained.costs)]
    if not known:
        return None
    candidates, found = [candidates[i] for i in known], [found[i] for i in known]
    return _Summary(candidates, found, log.objectives, front, finished, seed).result()


class _Summary:
    """The parts of a `Confirmed`, computed from costs."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        found: Sequence[Retrained],
        objectives: Objectives,
        front: Sequence[str],
        finished: FloatArray,
        seed: int,
    ) -> None:
        self._candidates = candidates
        self._found = found
        self._objectives = objectives
        self._on_own_front = [c.trial_id in front for c in candidates]
        self._searched = searched_costs(candidates, objectives)
        collapsed = [retrained.num_collapsed > 0 for retrained in found]
        self._seeds = seeds = [retrained.costs for retrained in found]
        self._means = means_of(seeds, collapsed)
        # of a trial that collapsed, the search shows a seed that did not: that is no third seed
        own = np.where(np.array(collapsed)[:, None], np.nan, self._searched)
        self._guesses = best_guesses(own, seeds, finished, collapsed)
        self._generator = np.random.default_rng(seed)
        self._draws = self._guesses.means.draws(self._generator)
        self._test_names, self._test_seeds = _test_costs(found, objectives)
        self._test = means_of(self._test_seeds, collapsed) if self._test_names else None
        self._on_images = self._test and _covering_images(self._test, self._test_names, found)

    def result(self) -> Confirmed:
        """Return all of it."""
        front = self._guesses.front
        reference = self._objectives.reference_costs
        volume = self._guesses.hypervolume(reference, self._draws, self._generator)
        shares = front_shares(self._draws)
        rest = sorted(set(range(len(self._found))) - set(front), key=lambda i: -shares[i])
        knee = self._guesses.knee(self._draws)
        alike = alike_neighbours(self._guesses.measured, front)
        trials = [
            self._trial(index, float(shares[index]), index in front, index == knee, alike)
            for index in [*front, *rest]
        ]
        return Confirmed(
            trials,
            Estimate(*volume),
            self._too_good(self._means, self._objectives.names, self._seeds),
            self._too_good(self._test, self._test_names, self._test_seeds) if self._test else {},
            self._objectives.names,
        )

    def _trial(
        self,
        index: int,
        share: float,
        on_front: bool,
        is_knee: bool,
        alike: Sequence[tuple[int, int]],
    ) -> ConfirmedTrial:
        candidate, retrained = self._candidates[index], self._found[index]
        names = self._objectives.names
        partners = [(a if b == index else b) for a, b in alike if index in (a, b)]
        guesses = self._signs(names) * self._guesses.means.values[index]
        return ConfirmedTrial(
            candidate.trial_id,
            len(retrained.costs),
            retrained.num_collapsed,
            {name: candidate.metrics[name] for name in names if candidate.metrics},
            self._estimates(self._means, names, index),
            self._estimates(self._on_images, self._test_names, index) if self._on_images else {},
            dict(zip(names, guesses.tolist(), strict=True)),
            share,
            on_front,
            is_knee,
            tuple(self._candidates[other].trial_id for other in partners),
        )

    def _signs(self, names: Sequence[str]) -> FloatArray:
        """Return what makes a value of a cost, which is what makes a cost of a value."""
        signs = {o.name: -1.0 if o.maximize else 1.0 for o in self._objectives}
        return np.array([signs[name] for name in names])

    def _estimates(self, means: Means, names: Sequence[str], index: int) -> dict[str, Estimate]:
        values = self._signs(names) * means.values[index]
        widths = means.half_widths()[index]
        return {
            name: Estimate(float(value), float(width))
            for name, value, width in zip(names, values, widths, strict=True)
            if not np.isnan(value)  # no seed was measured on the test set
        }

    def _too_good(
        self, means: Means, names: Sequence[str], seeds: Sequence[FloatArray]
    ) -> dict[str, Estimate]:
        columns = [self._objectives.names.index(name) for name in names]
        searched = self._searched[:, columns]
        is_known = np.isfinite(searched) & np.isfinite(means.values)
        is_shown = np.array(self._on_own_front) & is_known.all(axis=1)
        rows = [int(row) for row in np.flatnonzero(is_shown)]
        if not rows:
            return {}
        gaps = (means.values - searched)[rows].mean(axis=0)
        counts = np.array([len(seeds[row]) for row in rows])[:, None]
        # the result of the search is one seed, the mean is n
        variances = means.errors[rows] ** 2 * (1 + counts)
        errors = np.sqrt(variances.sum(axis=0)) / len(rows)
        quantiles = student_quantile(0.975, means.df[rows].max(axis=0))
        return {
            name: Estimate(float(gap), float(width))
            for name, gap, width in zip(names, gaps, quantiles * errors, strict=True)
        }


def _covering_images(means: Means, names: Sequence[str], found: Sequence[Retrained]) -> Means:
    """Return means on the test set with errors that cover the choice of its images."""
    records = [record for one in found for record in one.records]
    counts = [record.last_metrics.get(TEST_IMAGES) for record in records]
    num_images = next((int(count) for count in counts if count), None)
    if num_images is None:
        return means
    return with_images(means, [name in SHARES_OF_IMAGES for name in names], num_images)


def _test_costs(
    found: Sequence[Retrained], objectives: Objectives
) -> tuple[tuple[str, ...], list[FloatArray]]:
    """Return the objectives that are measured on the test set, and their costs by trial."""
    reported = [record.last_metrics for one in found for record in one.records]
    names = tuple(
        name for name in objectives.names if any(TEST + name in metrics for metrics in reported)
    )
    worst = {o.name: o.reference for o in objectives}
    signs = {o.name: -1.0 if o.maximize else 1.0 for o in objectives}
    seeds = []
    for one in found:
        tested = [record.last_metrics for record in one.records if not is_untested(record)]
        rows = [[signs[n] * metrics.get(TEST + n, worst[n]) for n in names] for metrics in tested]
        seeds.append(np.array(rows, dtype=np.float64).reshape(len(tested), len(names)))
    return names, seeds

"""The best guesses of true means: what few seeds say of a trial, and all trials of a search.

The luck of a trial that was selected for its results has to be taken back, or its means are too
good, and the more so the fewer seeds it has.

M trials, D objectives as costs (lower is better), N draws.

[Efron1993] B. Efron and R. J. Tibshirani. An Introduction to the Bootstrap, chapter 10. Chapman
    and Hall, 1993.
[Morris1983] C. N. Morris. Parametric empirical Bayes inference: theory and applications. Journal of
    the American Statistical Association 78(381), 1983.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunebox.pareto.confirmed import (
    FEWEST_FREE,
    SMALLEST,
    Means,
    covariance_of_seeds,
    front_of_means,
    means_of,
    with_one_more,
    with_searched,
)
from tunebox.pareto.front import front_indices, knee_index
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray

_FEWEST_TRIALS = 5  # for each objective, that tell how true means are spread


@dataclass(frozen=True)
class BestGuesses:
    """What is believed of the true means.

    Attributes:
        means: The guesses, and how sure they are.
        measured: The means of the same seeds as they are, with the search's own result taken back
            by what such results were too good on average (`with_searched`).
        noise: Covariances of the errors of ``measured``, ``(M, D, D)``; NaN where nothing is known
            of the spread.
        noise_df: Degrees of freedom of ``noise``.
        centre: Mean of all trials, towards which the guesses are drawn, ``(D,)``.
        kept: What is kept of a distance from the centre, ``(M, D, D)``; the identity for a trial
            that is not drawn to it.
    """

    means: Means
    measured: Means
    noise: FloatArray
    noise_df: float
    centre: FloatArray
    kept: FloatArray

    @property
    def front(self) -> list[int]:
        """The trials whose guesses no other dominates, best in the first objective first."""
        return front_of_means(self.means)

    def knee(self, draws: FloatArray) -> int:
        """Return the trial on the front that is expected to be nearest to the true knee.

        A knee is the trial with the least sum of its costs, each scaled to the range of the
        front (`knee_index`). The sum is expected over draws, each with its own front, since the
        ranges of one front are those of its luckiest ends. Ends of the front are no knee, unless
        it has nothing else.

        Args:
            draws: True means as they may be, ``(N, M, D)``, N >= 1.
        """
        front, values = self.front, self.means.values
        known = np.isfinite(values).all(axis=1)
        drawn: FloatArray = draws[:, known]
        costs = values[front]
        if not np.isfinite(drawn).all():
            return front[knee_index(costs)]
        expected = np.full(len(values), np.inf)
        expected[known] = np.mean([_scaled_sums(one) for one in drawn], axis=0)
        is_end = (costs == costs.min(axis=0)).any(axis=1)
        inner = [row for row, end in zip(front, is_end, strict=True) if not end] or front
        return min(inner, key=lambda row: float(expected[row]))

    def hypervolume(
        self, reference: FloatArray, draws: FloatArray, generator: np.random.Generator
    ) -> tuple[float, float]:
        """Return the true hypervolume of the front, and half the width of its 95 % interval.

        That of the measured means is too large, since the front is chosen by them. How much, and
        how far it varies, is seen by measuring again what is known [Efron1993]: each draw is taken
        for the truth, its trials get new means with the errors of the measured ones, and a front
        is chosen by these in the same way.

        Args:
            reference: Reference point, ``(D,)``.
            draws: True means as they may be, ``(N, M, D)``.
            generator: Of the new means.

        Returns:
            The estimate, and half the width; NaN where nothing is known of the spread.
        """
        known = np.isfinite(self.means.values).all(axis=1)
        volume = hypervolume(self.measured.values[self.front], reference)
        truths, noise = draws[:, known], self.noise[known]
        if not np.isfinite(truths).all() or not np.isfinite(noise).all():
            return volume, float("nan")
        roots = np.linalg.cholesky(noise + SMALLEST * np.eye(len(reference)))
        moves = np.einsum("nmd,med->nme", generator.standard_normal(truths.shape), roots)
        # one scale for all trials of a draw: the spread of all is known from the same seeds
        scale = np.sqrt(generator.chisquare(self.noise_df, (len(draws), 1, 1)) / self.noise_df)
        measured = truths + moves / scale
        guesses = self.centre + np.einsum("mde,nme->nmd", self.kept[known], measured - self.centre)
        errors = []
        for truth, means, guess in zip(truths, measured, guesses, strict=True):
            front = front_indices(guess)
            errors.append(
                hypervolume(truth[front], reference) - hypervolume(means[front], reference)
            )
        low, high = np.quantile(errors, [0.025, 0.975])
        return volume + float(low + high) / 2, float(high - low) / 2


def best_guesses(
    searched: FloatArray,
    seeds: Sequence[FloatArray],
    finished: FloatArray,
    own_spread: Sequence[bool] | None = None,
) -> BestGuesses:
    """Return the best guesses of the true means, from the search's results and the new seeds.

    The search's own result counts as one more seed. The true means of all trials that finished are
    taken for draws from one normal distribution, so that the guess of a trial is drawn towards
    their mean: across the front, where the trials hardly differ, far more than along it
    [Morris1983]. A trial with few seeds is drawn further than one with many.

    With too few trials for that, the guesses are the measured means.

    Args:
        searched: Costs in the search, ``(M, D)``; NaN for a trial that has none.
        seeds: Costs of each trial's new seeds, ``(n_i, D)`` each.
        finished: Costs in the search of all trials that finished, ``(F, D)``.
        own_spread: As in `means_of`; such trials are not drawn towards the others.
    """
    dimension = searched.shape[1]
    taken_back = with_searched(searched, seeds)
    measured = means_of(taken_back, own_spread)
    as_they_are = with_one_more(searched, seeds)
    counts = np.array([len(costs) for costs in as_they_are])
    apart = np.zeros(len(counts), dtype=bool) if own_spread is None else np.array(own_spread)
    drawn = np.flatnonzero((counts > 0) & ~apart)
    covariance, num_free = covariance_of_seeds([taken_back[trial] for trial in drawn], dimension)
    kept = np.tile(np.eye(dimension), (len(counts), 1, 1))
    noise = measured.errors[:, :, None] * measured.correlation * measured.errors[:, None, :]
    if len(finished) < _FEWEST_TRIALS * dimension or num_free < FEWEST_FREE:
        noise_df = float(max(np.median(measured.df), 1.0))
        return BestGuesses(measured, measured, noise, noise_df, np.zeros(dimension), kept)
    values, errors, df = measured.values.copy(), measured.errors.copy(), measured.df.copy()
    correlation, centre = measured.correlation.copy(), finished.mean(axis=0)
    spread = _positive(np.cov(finished.T).reshape(dimension, dimension) - covariance)
    for trial in drawn:
        noise[trial] = covariance / counts[trial]
        kept[trial] = spread @ np.linalg.inv(spread + noise[trial])
        values[trial] = centre + kept[trial] @ (as_they_are[trial].mean(axis=0) - centre)
        left = spread - kept[trial] @ spread
        errors[trial] = np.sqrt(np.maximum(np.diag(left), SMALLEST))
        correlation[trial] = left / np.outer(errors[trial], errors[trial])
        df[trial] = num_free
    guesses = Means(values, errors, df, correlation)
    return BestGuesses(guesses, measured, noise, float(num_free), centre, kept)


def _positive(covariance: FloatArray) -> FloatArray:
    """Return the nearest covariance with variances above 0 in all directions."""
    variances, directions = np.linalg.eigh(covariance)
    return np.asarray((directions * np.maximum(variances, SMALLEST)) @ directions.T)


def _scaled_sums(costs: FloatArray) -> FloatArray:
    """Return the sum of costs ``(M, D)``, each scaled to the range of their front, ``(M,)``."""
    front = costs[front_indices(costs)]
    low, span = front.min(axis=0), np.ptp(front, axis=0)
    return np.asarray(((costs - low) / np.where(span > 0, span, 1.0)).sum(axis=1))

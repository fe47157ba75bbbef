"""What repeated trainings say about a front: means, intervals, and who is on it.

M trials, D objectives as costs (lower is better); trial ``i`` was trained again with ``n_i`` seeds.
The seeds of a trial are independent, and their spread may differ from trial to trial.

[Satterthwaite1946] F. E. Satterthwaite. An approximate distribution of estimates of variance
    components. Biometrics Bulletin 2(6), 1946.
[Smyth2004] G. K. Smyth. Linear models and empirical Bayes methods for assessing differential
    expression in microarray experiments. Statistical Applications in Genetics and Molecular
    Biology 3(1), 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import special

from tunebox.pareto.front import front_indices
from tunebox.pareto.objectives import FloatArray

_NUM_DRAWS = 512  # of the true means
_SURELY_OFF = 0.02  # probability to be on the front, below which a trial gets no more seeds
FEWEST_FREE = 3  # degrees of freedom, below which nothing is made of a covariance
SMALLEST = 1e-12  # variance: seeds may agree to the last digit


@dataclass(frozen=True)
class Means:
    """The means over seeds, and how sure they are.

    Attributes:
        values: ``(M, D)``; NaN for a trial without seeds.
        errors: Standard errors of the means, ``(M, D)``; NaN where nothing is known of the spread.
        df: Degrees of freedom of the errors, ``(M, D)``.
        correlation: Of the errors of a trial in its objectives, ``(M, D, D)``.
    """

    values: FloatArray
    errors: FloatArray
    df: FloatArray
    correlation: FloatArray

    def half_widths(self, level: float = 0.95) -> FloatArray:
        """Return half the widths of the intervals by Student's t that cover the true means."""
        quantiles = student_quantile(0.5 + level / 2, self.df)
        return np.asarray(quantiles * self.errors, dtype=np.float64)

    def draws(self, generator: np.random.Generator, num_draws: int = _NUM_DRAWS) -> FloatArray:
        """Return draws of the true means, given the seeds: ``(num_draws, M, D)``.

        Multivariate t; a trial without seeds, or of unknown spread, is NaN.
        """
        shape = (num_draws, *self.values.shape)
        roots = np.linalg.cholesky(self.correlation + 1e-9 * np.eye(shape[2]))
        normal = np.einsum("nmd,med->nme", generator.standard_normal(shape), roots)
        df = np.maximum(self.df.min(axis=1), 1.0)
        scale = np.sqrt(generator.chisquare(df, (num_draws, len(df))) / df)
        return np.asarray(self.values + self.errors * normal / scale[:, :, None])


def means_of(seeds: Sequence[FloatArray], own_spread: Sequence[bool] | None = None) -> Means:
    """Return the means over the seeds of each trial, with errors that learn from all trials.

    With few seeds the variance of a trial alone says little: it is shrunk towards that of the
    others, as far as the variances agree with each other [Smyth2004].

    Args:
        seeds: Costs of each trial's seeds, ``(n_i, D)`` each; ``n_i`` may be 0.
        own_spread: Trials whose spread has nothing to do with that of the others, such as those
            of which a seed collapsed: their variance is their own.
    """
    apart = np.zeros(len(seeds), dtype=bool) if own_spread is None else np.array(own_spread)
    counts = np.array([len(costs) for costs in seeds])
    dimension = seeds[0].shape[1]
    values = np.full((len(seeds), dimension), np.nan)
    variances = np.full((len(seeds), dimension), np.nan)
    for index, costs in enumerate(seeds):
        values[index] = costs.mean(axis=0) if len(costs) else np.nan
        variances[index] = costs.var(axis=0, ddof=1) if len(costs) > 1 else np.nan
    variances = np.maximum(variances, smallest_step(np.concatenate(seeds)) ** 2 / 12)
    df = np.repeat(np.maximum(counts - 1.0, 0.0)[:, None], dimension, axis=1)
    shared = ~apart
    for objective in range(dimension):
        shrunk, shrunk_df = moderated_variances(variances[shared, objective], counts[shared] - 1)
        variances[shared, objective], df[shared, objective] = shrunk, shrunk_df
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.sqrt(np.maximum(variances, SMALLEST) / counts[:, None])
    kept = [costs for costs, is_apart in zip(seeds, apart, strict=True) if not is_apart]
    correlation = np.tile(_correlation(kept, dimension), (len(seeds), 1, 1))
    return Means(values, np.where(counts[:, None] > 0, errors, np.nan), df, correlation)


def with_images(means: Means, are_shares: Sequence[bool], num_images: int) -> Means:
    """Return the same means with errors that also cover which images they are measured on.

    The share p of n images varies by ``p (1 - p) / n`` with the images. All seeds are measured on
    the same ones, so that this does not become smaller with more seeds. The variance over seeds
    includes a part of it once more, so that the intervals are rather too wide. The degrees of
    freedom are those of a sum of variances [Satterthwaite1946].

    Args:
        means: As `means_of` gives them.
        are_shares: Whether an objective is a share of images, or less that share, ``(D,)``; the
            errors of others stay as they are.
        num_images: n.
    """
    shares = np.abs(means.values)
    of_images = np.where(are_shares, shares * (1 - shares) / num_images, 0.0)
    of_seeds = np.maximum(means.errors**2, SMALLEST)
    total = of_seeds + of_images
    df = np.maximum(means.df, 1.0) * (total / of_seeds) ** 2
    return replace(
        means,
        errors=np.where(of_images > 0, np.sqrt(total), means.errors),
        df=np.where(of_images > 0, df, means.df),
    )


def smallest_step(values: FloatArray) -> FloatArray:
    """Return the smallest step between two values of each objective, ``(D,)``; 0 if all are equal.

    An accuracy is a whole number of images. Seeds that give the same number have no variance in
    it, but that of a value which was rounded to the step: without it, their logarithm would draw
    the variance of all trials to zero.
    """
    steps = np.diff(np.sort(values, axis=0), axis=0)
    is_step = steps > 1e-9 * np.abs(values).max(axis=0, initial=0.0)
    smallest = np.min(steps, axis=0, initial=np.inf, where=is_step)
    return np.where(np.isfinite(smallest), smallest, 0.0)


def moderated_variances(
    variances: FloatArray, df: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[FloatArray, FloatArray]:
    """Return variances shrunk towards each other, and their degrees of freedom, ``(M,)`` each.

    Args:
        variances: Sample variances, ``(M,)``; ignored where ``df`` is below 1.
        df: Their degrees of freedom, ``(M,)``.

    Returns:
        NaN and 0 for all where no trial has a variance.
    """
    known = df >= 1
    if not known.any():
        return np.full(len(df), np.nan), np.zeros(len(df))
    own, own_df = np.maximum(variances[known], SMALLEST), df[known].astype(np.float64)
    total = float(own_df.sum())
    common, common_df = _prior_variance(own, own_df)
    weights = np.where(known, df, 0).astype(np.float64)
    sums = np.where(known, weights * np.where(known, variances, 0.0), 0.0)
    if np.isinf(common_df):
        return np.full(len(df), common), np.full(len(df), total)
    shrunk = (common_df * common + sums) / (common_df + weights)
    return shrunk, np.minimum(common_df + weights, total)


def _prior_variance(variances: FloatArray, df: FloatArray) -> tuple[float, float]:
    """Return the common variance and for how many degrees of freedom it stands [Smyth2004, 6.2].

    By the moments of the logarithms; infinite where they differ no more than chance makes them.
    """
    pooled = float((variances * df).sum() / df.sum())
    if len(variances) < 3:
        return pooled, np.inf
    logs = np.log(variances) - special.digamma(df / 2) + np.log(df / 2)
    excess = logs.var(ddof=1) - special.polygamma(1, df / 2).mean()
    if excess <= 0:
        return pooled, np.inf
    common_df = 2 * _inverse_trigamma(float(excess))
    common = np.exp(logs.mean() + special.digamma(common_df / 2) - np.log(common_df / 2))
    return float(common), common_df


def _inverse_trigamma(value: float) -> float:
    """Return ``x`` with ``trigamma(x) == value`` > 0, by Newton's method [Smyth2004, appendix]."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-8:
            break
    return x


def _correlation(seeds: Sequence[FloatArray], dimension: int) -> FloatArray:
    """Return the correlation of the objectives within trials, the identity where none is known."""
    covariance, num_free = covariance_of_seeds(seeds, dimension)
    if num_free < FEWEST_FREE:
        return np.eye(dimension)
    scales = np.sqrt(np.diag(covariance))
    correlation = np.asarray(covariance / np.outer(scales, scales), dtype=np.float64)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def covariance_of_seeds(seeds: Sequence[FloatArray], dimension: int) -> tuple[FloatArray, int]:
    """Return the covariance of a seed's costs, the same for all trials, and its degrees of freedom.

    Args:
        seeds: Costs of each trial's seeds, ``(n_i, D)`` each.
        dimension: D.

    Returns:
        ``(D, D)``, 0 apart from a smallest variance where no trial has two seeds.
    """
    rest = [costs - costs.mean(axis=0) for costs in seeds if len(costs) > 1]
    num_free = sum(len(costs) - 1 for costs in rest)
    products = sum((costs.T @ costs for costs in rest), np.zeros((dimension, dimension)))
    covariance = np.asarray(products / max(num_free, 1), dtype=np.float64)
    np.fill_diagonal(covariance, np.maximum(np.diag(covariance), SMALLEST))
    return covariance, num_free


def student_quantile(share: float, df: FloatArray) -> FloatArray:
    """Return the quantile of Student's t with ``df`` degrees of freedom; below 1 they count as 1.

    `scipy.stats` has it too, but takes long to import.
    """
    return np.asarray(special.stdtrit(np.maximum(df, 1.0), share), dtype=np.float64)


def front_shares(draws: FloatArray) -> FloatArray:
    """Return in which share of the draws each trial is on the front, ``(M,)``.

    Args:
        draws: True means as they may be, ``(N, M, D)``; a trial that is NaN is on no front.
    """
    known = np.isfinite(draws).all(axis=(0, 2))
    shares = np.zeros(draws.shape[1])
    costs = draws[:, known]
    is_on = np.ones(costs.shape[:2], dtype=bool)
    for rival in range(costs.shape[1]):
        other = costs[:, rival : rival + 1]
        is_on &= ~((other <= costs).all(axis=2) & (other < costs).any(axis=2))
    shares[known] = is_on.mean(axis=0) if len(costs) else 0.0
    return shares


def are_alike(means: Means, one: int, other: int, level: float = 0.95) -> bool:
    """Return whether two trials differ in no objective by more than chance may make them."""
    difference = np.abs(means.values[one] - means.values[other])
    error = np.hypot(means.errors[one], means.errors[other])
    quantile = student_quantile(0.5 + level / 2, np.minimum(means.df[one], means.df[other]))
    return not bool((difference > quantile * error).any())


def alike_neighbours(means: Means, front: Sequence[int]) -> list[tuple[int, int]]:
    """Return the neighbours on ``front``, in its order, that `are_alike`."""
    return [(one, other) for one, other in pairwise(front) if are_alike(means, one, other)]


def with_searched(searched: FloatArray, seeds: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the seeds of each trial with the search's own result as one seed more.

    The search's results are too good, since trials were selected by them. That matters little
    where trials are compared that were all selected so: each is taken back by the mean of what
    the results were too good.

    Args:
        searched: Costs in the search, ``(M, D)``; NaN for a trial that has none.
        seeds: Costs of each trial's new seeds, ``(n_i, D)`` each.
    """
    gaps = [
        costs.mean(axis=0) - own
        for own, costs in zip(searched, seeds, strict=True)
        if len(costs) and np.isfinite(own).all()
    ]
    too_good = np.mean(gaps, axis=0) if gaps else np.zeros(searched.shape[1])
    return with_one_more(searched + too_good, seeds)


def with_one_more(more: FloatArray, seeds: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the seeds of each trial, ``(n_i, D)``, with its row of ``more``, ``(M, D)``, if any.

    A row with NaN is none.
    """
    return [
        np.vstack([costs, own]) if np.isfinite(own).all() else costs
        for own, costs in zip(more, seeds, strict=True)
    ]


def next_trial(
    searched: FloatArray,
    seeds: Sequence[FloatArray],
    planned: Sequence[int],
    *,
    most: int,
    is_sure: Sequence[bool],
    generator: np.random.Generator,
    before: Sequence[int] | None = None,
    own_spread: Sequence[bool] | None = None,
) -> int | None:
    """Return the trial whose next seed decides most, None if no seed would change much.

    Each trial that ``is_sure`` to get a seed gets one, in their order. Then the trial is next for
    which a seed lowers the variance of the mean most, times its probability to be on the front;
    one that is surely off it gets no more.

    Args:
        searched: Costs in the search, ``(M, D)``; NaN for a trial that has none.
        seeds: Costs of each trial's new seeds that have ended, ``(n_i, D)`` each.
        planned: How many new seeds each trial has been given, ended or not, ``(M,)``.
        most: Seeds that a trial gets at most, without those ``before``.
        is_sure: Whether a trial gets a seed in any case, ``(M,)``.
        generator: Of the draws of the true means.
        before: How many of the planned seeds were given before, for another purpose, ``(M,)``:
            they count in means, but not where a trial is sure to get a seed. None: none.
        own_spread: As in `means_of`.
    """
    counts = np.array(planned)
    given = counts if before is None else counts - np.array(before)
    is_open = given < most
    waiting = np.flatnonzero(is_open & (given == 0) & np.array(is_sure, dtype=bool))
    if len(waiting):
        return int(waiting[0])
    # not by the best guesses: in simulated searches they put the seeds in no better places
    means = means_of(with_searched(searched, seeds), own_spread)
    if not np.isfinite(means.errors).any():  # the first seeds have not ended
        shares = np.ones(len(counts))
    else:
        shares = front_shares(means.draws(generator))
        shares[~np.isfinite(means.errors).all(axis=1)] = 1.0
    scores = np.where(
        is_open & (shares >= _SURELY_OFF), shares / ((1 + counts) * (2 + counts)), 0.0
    )
    best = int(np.argmax(scores))
    return best if scores[best] > 0 else None


def front_of_means(means: Means) -> list[int]:
    """Return the trials with seeds whose means no other mean dominates, as `front_indices`."""
    known = np.flatnonzero(np.isfinite(means.values).all(axis=1))
    return [int(known[index]) for index in front_indices(means.values[known])]

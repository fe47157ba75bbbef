"""Settings as a person expects them: near a good value, and how near by the confidence.

On the quantiles of its distribution, from 0 to 1, a range has a normal density around the centre,
cut off at the ends. The centre of a choice has a probability, and the other options share the rest.
"""

from statistics import NormalDist

import numpy as np

from tunebox.pareto.objectives import FloatArray
from tunebox.spec.sample import BELOW_ONE, quantile_of
from tunebox.spec.space import Choice, Leaf

# The standard deviation of a range, in quantiles, and the probability of the other options
_SPREADS = {"low": 0.5, "medium": 0.25, "high": 0.125}


def by_prior(leaf: Leaf, points: FloatArray) -> FloatArray:
    """Return quantiles of ``leaf`` ``(N,)`` that are spread as its prior says.

    Args:
        leaf: A leaf; without a prior the points are its quantiles.
        points: ``(N,)``, spread evenly over [0, 1).
    """
    if leaf.prior is None:
        return points
    if isinstance(leaf.distribution, Choice):
        chances = _chances(leaf, leaf.distribution)
        starts = np.concatenate([[0.0], np.cumsum(chances)[:-1]])
        index = np.searchsorted(starts, points, side="right") - 1
        within = np.clip((points - starts[index]) / chances[index], 0.0, BELOW_ONE)
        quantiles = np.minimum((index + within) / len(chances), BELOW_ONE)
        return np.asarray(quantiles, dtype=np.float64)
    normal = NormalDist(quantile_of(leaf.distribution, leaf.prior.center), _spread(leaf))
    low, high = normal.cdf(0.0), normal.cdf(1.0)
    drawn = [normal.inv_cdf(low + float(point) * (high - low)) for point in points]
    return np.clip(np.array(drawn, dtype=np.float64), 0.0, BELOW_ONE)


def log_prior(leaf: Leaf, quantiles: FloatArray) -> FloatArray:
    """Return the logarithm of a prior at quantiles ``(N,)``, over its largest: at most 0."""
    if leaf.prior is None:
        return np.zeros(len(quantiles))
    if isinstance(leaf.distribution, Choice):
        chances = _chances(leaf, leaf.distribution)
        index = np.minimum((quantiles * len(chances)).astype(np.intp), len(chances) - 1)
        return np.asarray(np.log(chances[index] / chances.max()), dtype=np.float64)
    away = quantiles - quantile_of(leaf.distribution, leaf.prior.center)
    return np.asarray(-0.5 * (away / _spread(leaf)) ** 2, dtype=np.float64)


def _spread(leaf: Leaf) -> float:
    assert leaf.prior is not None
    return _SPREADS[leaf.prior.confidence]


def _chances(leaf: Leaf, choice: Choice) -> FloatArray:
    """Return the probability of each option."""
    assert leaf.prior is not None
    count = len(choice.options)
    if count == 1:
        return np.ones(1)
    others = min(_spread(leaf), (count - 1) / count)
    chances = np.full(count, others / (count - 1))
    chances[int(quantile_of(choice, leaf.prior.center) * count)] = 1 - others
    return chances

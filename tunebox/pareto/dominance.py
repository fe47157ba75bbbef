"""Non-domination ranks, and the order of trials that spreads along a front.

[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

import moocore
import numpy as np
from numpy.typing import NDArray

from tunebox.pareto.objectives import FloatArray

IntArray = NDArray[np.int64]


def nondomination_ranks(costs: FloatArray) -> IntArray:
    """Return the rank of each trial: 0 on the front, 1 on the front of the rest, and so on.

    Equal costs have equal ranks.

    Args:
        costs: ``(N, D)``, finite, lower is better.

    Returns:
        ``(N,)``, in the order of ``costs``.
    """
    if len(costs) == 0:
        return np.zeros(0, dtype=np.int64)
    ranks: IntArray = np.asarray(moocore.pareto_rank(costs), dtype=np.int64)
    return ranks


def is_nondominated(costs: FloatArray) -> NDArray[np.bool_]:
    """Return for each trial whether no other dominates it, ``(N,)``; equal costs all count.

    Args:
        costs: ``(N, D)``, finite, lower is better.
    """
    return np.equal(nondomination_ranks(costs), 0)


def crowding_distances(costs: FloatArray) -> FloatArray:
    """Return the crowding distance of each point of one front [Deb2002, III-B].

    The sum over objectives of the gap between a point's two neighbours, divided by the range of
    the objective. Extremes have infinite distance; an objective in which all are equal has none.
    A point alone has infinite distance. Of equal points all but the first have
    distance 0, for they add nothing to the spread.

    Args:
        costs: ``(N, D)``, one front.

    Returns:
        ``(N,)``, >= 0.
    """
    distances = np.zeros(len(costs))
    _, first = np.unique(costs, axis=0, return_index=True)
    distinct = costs[np.sort(first)]
    spread = np.full(len(distinct), np.inf if len(distinct) == 1 else 0.0)
    for column in distinct.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        if span > 0:
            spread[order[[0, -1]]] = np.inf
            spread[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    distances[np.sort(first)] = spread
    return distances


def place_of_last(costs: FloatArray) -> int:
    """Return how many of the other trials come before the last one, ``0 .. N-1``.

    Trials come by rank, inside a front the most isolated first; those that tie in both come in
    the order of ``costs``.

    Args:
        costs: ``(N, D)``, finite, lower is better, N >= 1.
    """
    ranks = nondomination_ranks(costs)
    isolation = crowding_distances(costs[ranks == ranks[-1]])
    return int((ranks < ranks[-1]).sum() + (isolation[:-1] >= isolation[-1]).sum())

"""Points that come one after the other, kept in their fronts of non-domination.

[Li2017] K. Li, K. Deb, Q. Zhang, Q. Zhang. Efficient nondomination level update method for
    steady-state evolutionary multiobjective optimization. IEEE Transactions on Cybernetics
    47(9), 2017. (Only the points that the new one pushes down are looked at again.)
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from tunebox.pareto.objectives import FloatArray


class RankedFronts:
    """Fronts by rank: a point is in the first front in which nothing dominates it.

    The ranks are those of `tunebox.pareto.dominance.nondomination_ranks` over all points.
    """

    def __init__(self) -> None:
        self._fronts: list[FloatArray] = []  # each (n, D)

    def add(self, costs: FloatArray) -> int:
        """Take in one point ``(D,)``, finite, lower is better, and return its rank.

        It is the last row of its front until the next point comes.
        """
        # Each point of a front is dominated by one of the front above: what nothing dominates in
        # one front, nothing dominates in any front below.
        rank = bisect_left(self._fronts, True, key=lambda front: not _has_better(front, costs))
        falling, level = costs[np.newaxis], rank
        while level < len(self._fronts):
            front = self._fronts[level]
            is_pushed = _dominated_by(falling, front)
            if is_pushed.all():  # then each front below falls as a whole
                break
            self._fronts[level] = np.concatenate([front[~is_pushed], falling])
            falling, level = front[is_pushed], level + 1
            if not len(falling):
                return rank
        self._fronts.insert(level, falling)
        return rank

    def front(self, rank: int) -> FloatArray:
        """Return the points of a rank, ``(n, D)``."""
        return self._fronts[rank]

    def num_above(self, rank: int) -> int:
        """Return how many points have a lower rank."""
        return sum(map(len, self._fronts[:rank]))


def _has_better(front: FloatArray, costs: FloatArray) -> bool:
    """Return whether a point of ``front`` dominates the point ``costs``."""
    no_worse = (front <= costs).all(axis=1)
    return bool((no_worse & (front < costs).any(axis=1)).any())


def _dominated_by(points: FloatArray, front: FloatArray) -> NDArray[np.bool_]:
    """Return for each point of ``front`` whether one of ``points`` dominates it."""
    # column by column: one array (points, front, D) would be slower
    no_worse = np.ones((len(points), len(front)), dtype=np.bool_)
    better = np.zeros_like(no_worse)
    for one, other in zip(points.T, front.T, strict=True):
        no_worse &= one[:, np.newaxis] <= other
        better |= one[:, np.newaxis] < other
    return np.asarray((no_worse & better).any(axis=0), dtype=np.bool_)

"""Non-dominated fronts that are updated as points are added one by one.

[Li2017] K. Li, K. Deb, Q. Zhang, Q. Zhang. Efficient nondomination level update method for
    steady-state evolutionary multiobjective optimization. IEEE Transactions on Cybernetics
    47(9), 2017. (Only the points whose rank changes are compared again.)
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from tunebox.pareto.dominance import IntArray
from tunebox.pareto.objectives import FloatArray


class RankedFronts:
    """Fronts by rank: a point is in the first front that has no point which dominates it.

    The ranks are those of `tunebox.pareto.dominance.nondomination_ranks` over all points.
    """

    def __init__(self) -> None:
        self._fronts: list[FloatArray] = []  # each (n, D)
        self._numbers: list[IntArray] = []  # of the points of each front, (n,)
        self._num_points = 0

    def add(self, costs: FloatArray) -> int:
        """Add one point ``(D,)``, finite, lower is better, and return its rank.

        Points are numbered from 0 in the order in which they are added. The point is the last row
        of its front until the next one is added.
        """
        # Each point of a front is dominated by a point of the front above. So a point that is
        # non-dominated in one front is so in all fronts below, and the search can bisect.
        rank = bisect_left(self._fronts, True, key=lambda front: not _any_dominates(front, costs))
        falling, level = costs[np.newaxis], rank
        numbers = np.array([self._num_points])
        self._num_points += 1
        while level < len(self._fronts):
            front = self._fronts[level]
            is_pushed = _dominated_by(falling, front)
            if is_pushed.all():  # then all fronts below move down as a whole
                break
            here = self._numbers[level]
            self._fronts[level] = np.concatenate([front[~is_pushed], falling])
            self._numbers[level] = np.concatenate([here[~is_pushed], numbers])
            falling, numbers, level = front[is_pushed], here[is_pushed], level + 1
            if not len(falling):
                return rank
        self._fronts.insert(level, falling)
        self._numbers.insert(level, numbers)
        return rank

    def front(self, rank: int) -> FloatArray:
        """Return the points of a rank, ``(n, D)``."""
        return self._fronts[rank]

    def numbers(self, rank: int) -> IntArray:
        """Return the numbers of the points of a rank, ``(n,)``, in the order of `front`."""
        return self._numbers[rank]

    def num_above(self, rank: int) -> int:
        """Return how many points have a lower rank."""
        return sum(map(len, self._fronts[:rank]))


def _any_dominates(front: FloatArray, costs: FloatArray) -> bool:
    """Return whether some point of ``front`` dominates the point ``costs``."""
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

"""Non-domination ranks."""

import moocore
import numpy as np
from numpy.typing import NDArray

from tunebox.pareto.objectives import FloatArray

IntArray = NDArray[np.int64]


def nondomination_ranks(costs: FloatArray) -> IntArray:
    """Return the non-domination rank of each trial: 0 on the front, 1 on the front of the rest, ...

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
    """Return whether each trial is non-dominated, ``(N,)``; trials with equal costs all are.

    Args:
        costs: ``(N, D)``, finite, lower is better.
    """
    return np.equal(nondomination_ranks(costs), 0)

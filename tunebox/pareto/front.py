"""The front of a search, and the trials one would pick from it.

[Das1999] I. Das. On characterizing the "knee" of the Pareto curve based on normal-boundary
    intersection. Structural Optimization 18, 1999.
"""

import numpy as np

from tunebox.pareto.dominance import is_nondominated
from tunebox.pareto.objectives import FloatArray


def front_indices(costs: FloatArray) -> list[int]:
    """Return the indices of the non-dominated rows, from best to worst in the first objective.

    Args:
        costs: ``(N, D)``, finite, lower is better.
    """
    members = np.flatnonzero(is_nondominated(costs))
    return [int(index) for index in members[np.lexsort(costs[members].T[::-1])]]


def knee_index(costs: FloatArray) -> int:
    """Return the index of the knee of a front.

    The point furthest below the hyperplane through the extremes [Das1999], with each objective
    scaled to its range on the front; an objective without range does not count.

    Args:
        costs: ``(N, D)``, one front, N >= 1.
    """
    low, high = costs.min(axis=0), costs.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return int(np.argmin(((costs - low) / span).sum(axis=1)))

"""The Pareto front of a search, and its knee.

[Das1999] I. Das. On characterizing the "knee" of the Pareto curve based on normal-boundary
    intersection. Structural Optimization 18, 1999.
"""

import numpy as np

from tunebox.pareto.dominance import is_nondominated
from tunebox.pareto.objectives import FloatArray

_FLAT = 1e-9  # a bulge below this, as a share of the front's ranges, is rounding


def front_indices(costs: FloatArray) -> list[int]:
    """Return the indices of the non-dominated rows, from best to worst in the first objective.

    Args:
        costs: ``(N, D)``, finite, lower is better.
    """
    members = np.flatnonzero(is_nondominated(costs))
    return [int(index) for index in members[np.lexsort(costs[members].T[::-1])]]


def knee_index(costs: FloatArray) -> int:
    """Return the index of the knee of a front: the trade-off to take without a wish of one's own.

    Each objective is scaled to its range on the front; one that is constant does not count. An
    end of the front is best in some objective. Of the points in between, the knee is the one
    furthest below the hyperplane through the corners where one objective is at its worst and the
    others are at their best [Das1999]; with two objectives, that is the line through the ends.
    If none lies below it, the front does not bulge, and the knee is the point in between that is
    nearest to the ideal, the best of all objectives. A front without points in between is
    judged by its ends.

    Args:
        costs: ``(N, D)``, one front, N >= 1, lower is better.
    """
    low, high = costs.min(axis=0), costs.max(axis=0)
    scaled = (costs - low) / np.where(high > low, high - low, 1.0)
    is_end = (costs == low)[:, high > low].any(axis=1)
    if is_end.all():
        is_end[:] = False
    depth = np.where(is_end, -np.inf, 1 - scaled.sum(axis=1))  # (N,), below the hyperplane
    if depth.max() > _FLAT:
        return int(np.argmax(depth))
    to_ideal = np.where(is_end, np.inf, np.linalg.norm(scaled, axis=1))
    return int(np.argmin(to_ideal))

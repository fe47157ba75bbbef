"""By how much points improve the hypervolume of a front.

With two objectives the region that a front leaves is cut into strips. With more, the hypervolume is
an average over directions from the reference point of how far the front reaches in each
[Deng2019]: an estimate whose cost does not grow with the size of the front.

[Deng2019] J. Deng, Q. Zhang. Approximating hypervolume and hypervolume contributions using polar
    coordinate. IEEE Transactions on Evolutionary Computation 23(5), 2019, equation 9.
"""

import functools
import math

import numpy as np

from tunebox.pareto.objectives import FloatArray

_NUM_DIRECTIONS = 128


def improvement(costs: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the hypervolume that each point alone would add to a front.

    Args:
        costs: ``(..., D)``, lower is better.
        front: ``(N, D)``, the points so far; those that others dominate, or that are not below the
            reference, add nothing.
        reference: Reference point, ``(D,)``.

    Returns:
        ``(...)``, >= 0 in the product of the objectives' units; exact for one and two objectives.
    """
    inside = front[(front < reference).all(axis=1)]
    if len(reference) == 1:
        best = inside.min() if len(inside) else reference[0]
        return np.asarray(np.maximum(best - costs[..., 0], 0.0), dtype=np.float64)
    if len(reference) == 2:
        return _by_strips(costs, inside, reference)
    return _by_directions(costs, inside, reference)


def _by_strips(costs: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    order = np.lexsort((front[:, 1], front[:, 0]))
    first, second = front[order].T
    is_better = second < np.minimum.accumulate(np.concatenate([[math.inf], second]))[:-1]
    first, second = first[is_better], second[is_better]
    lefts = np.concatenate([[-math.inf], first])
    rights = np.concatenate([first, reference[:1]])
    tops = np.concatenate([reference[1:], second])
    total = np.zeros(costs.shape[:-1])
    for left, right, top in zip(lefts, rights, tops, strict=True):
        width = np.maximum(right - np.maximum(costs[..., 0], left), 0.0)
        total += width * np.maximum(top - costs[..., 1], 0.0)
    return total


def _by_directions(costs: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    num_objectives = len(reference)
    everything = np.concatenate([front, costs.reshape(-1, num_objectives)])
    # in units of what is below the reference, so that directions suit objectives of any scale
    units = reference - np.minimum(everything.min(axis=0), reference)
    units = np.where(units > 0, units, 1.0)
    below = np.ascontiguousarray(np.moveaxis((reference - costs) / units, -1, 0))
    front_below = (reference - front) / units
    total = np.zeros(costs.shape[:-1])
    for direction in _directions(num_objectives):
        known = float((front_below / direction).min(axis=1).max(initial=0.0))
        reach = below[0] / direction[0]
        for part, share in zip(below[1:], direction[1:], strict=True):
            np.minimum(reach, part / share, out=reach)
        np.maximum(reach, known, out=reach)
        volume = reach.copy()
        for _ in range(num_objectives - 1):  # much faster than a power
            volume *= reach
        total += volume - known**num_objectives
    # the share of a unit ball in which all coordinates are positive
    ball = math.pi ** (num_objectives / 2) / math.gamma(num_objectives / 2 + 1)
    factor = ball / 2**num_objectives * float(units.prod()) / _NUM_DIRECTIONS
    return np.asarray(total * factor, dtype=np.float64)


@functools.lru_cache(maxsize=8)
def _directions(num_objectives: int) -> FloatArray:
    """Return unit vectors ``(K, D)`` that are spread evenly, with positive coordinates."""
    from scipy.special import ndtri  # slow to import
    from scipy.stats import qmc

    points = qmc.Sobol(num_objectives, seed=np.random.default_rng(0)).random(_NUM_DIRECTIONS)
    normal = np.abs(ndtri(np.clip(points, 1e-6, 1 - 1e-6)))
    normal = np.maximum(normal, 1e-9)
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True), dtype=np.float64)

"""Isolation of points on a front: rules that prefer trials which spread along it.

[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
[Schmucker2021] R. Schmucker, M. Donini, M. B. Zafar, D. Salinas, C. Archambeau. Multi-objective
    asynchronous successive halving. arXiv 2106.12639.
[Bringmann2012] K. Bringmann, T. Friedrich. Approximating the least hypervolume contributor.
    Theoretical Computer Science 425, 2012.

Every rule takes the costs ``(N, D)`` of one front, lower is better, and returns the isolation of
each point, ``(N,)``, >= 0. The order of the points matters for equal ones only: the first has the
isolation, the others have 0, since they add nothing to the spread. A single point has infinite
isolation. The units of the objectives do not matter.
"""

from collections.abc import Callable
from typing import Literal

import moocore
import numpy as np
from numpy.typing import NDArray

from tunebox.pareto.objectives import FloatArray

FrontRule = Literal["crowding", "epsilon_net", "hypervolume"]
IsolationRule = Callable[[FloatArray], FloatArray]

_BEYOND_NADIR = 0.1  # offset of the hypervolume's reference point, in ranges of the front


def isolation_rule(name: FrontRule) -> IsolationRule:
    """Return the rule named ``name``."""
    return {
        "crowding": crowding_distances,
        "epsilon_net": net_distances,
        "hypervolume": hypervolume_contributions,
    }[name]


def crowding_distances(costs: FloatArray) -> FloatArray:
    """Return the crowding distance of each point of one front [Deb2002, III-B].

    It is the sum over objectives of the gap between a point's two neighbours, divided by the range
    of the objective. It is infinite at the extremes. A constant objective does not count.
    """
    return _of_distinct(costs, _crowding)


def net_distances(costs: FloatArray) -> FloatArray:
    """Return the distance of each point to the epsilon-net when it joined the net.

    The net [Schmucker2021] starts with the best point in the first objective and goes on with
    the point furthest from all that are in it, each objective scaled to its range on the front.
    Time grows with the square of ``N``.
    """
    return _of_distinct(costs, _net)


def hypervolume_contributions(costs: FloatArray) -> FloatArray:
    """Return the volume that each point alone dominates [Bringmann2012].

    Each objective is scaled to its range on the front. The reference point lies a tenth of the
    range beyond the worst values, so that extremes dominate a volume too.
    """
    return _of_distinct(costs, _contributions)


def _of_distinct(costs: FloatArray, rule: IsolationRule) -> FloatArray:
    first = _first_of_equals(costs)
    isolation = np.zeros(len(costs))
    isolation[first] = rule(costs[first]) if len(first) > 1 else np.inf
    return isolation


def _first_of_equals(costs: FloatArray) -> NDArray[np.int64]:
    """Return the first index of each distinct row, in the order of the rows' values."""
    order = np.lexsort(costs.T[::-1])  # stable: equal rows stay in their order
    ordered = costs[order]
    is_new = np.ones(len(costs), dtype=np.bool_)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return np.asarray(order[is_new], dtype=np.int64)


def _crowding(costs: FloatArray) -> FloatArray:
    distances = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        if span > 0:
            distances[order[[0, -1]]] = np.inf
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances


def _net(costs: FloatArray) -> FloatArray:
    scaled = _scaled(costs)
    isolation = np.full(len(costs), np.inf)
    distances = np.linalg.norm(scaled - scaled[0], axis=1)  # row 0 is best in the first objective
    for _ in range(len(costs) - 1):
        joins = int(np.argmax(distances))
        isolation[joins] = distances[joins]
        distances = np.minimum(distances, np.linalg.norm(scaled - scaled[joins], axis=1))
    return isolation


def _contributions(costs: FloatArray) -> FloatArray:
    scaled = _scaled(costs)
    reference = np.where(np.ptp(scaled, axis=0) > 0, 1 + _BEYOND_NADIR, 1.0)
    return np.asarray(moocore.hv_contributions(scaled, ref=reference), dtype=np.float64)


def _scaled(costs: FloatArray) -> FloatArray:
    low, span = costs.min(axis=0), np.ptp(costs, axis=0)
    return np.asarray((costs - low) / np.where(span > 0, span, 1.0), dtype=np.float64)

"""The hypervolume that a front dominates, bounded by a reference point."""

import moocore
import numpy as np

from tunebox.pareto.objectives import FloatArray


def hypervolume(costs: FloatArray, reference: FloatArray) -> float:
    """Return the volume dominated by ``costs`` and bounded by ``reference``.

    Args:
        costs: ``(N, D)``, lower is better. Points that do not improve on the reference in every
            objective add nothing.
        reference: Reference point, ``(D,)``.

    Returns:
        A volume >= 0 in the product of the objectives' units; 0 without points.
    """
    if len(costs) == 0:
        return 0.0
    if costs.shape[1] == 1:  # moocore starts at two objectives
        return max(0.0, float(reference[0] - np.min(costs)))
    return float(moocore.hypervolume(costs, ref=reference))


class RunningHypervolume:
    """Hypervolume of points that are added one by one; only non-dominated points are kept."""

    def __init__(self, reference: FloatArray) -> None:
        self._reference = reference
        self._front: FloatArray = np.zeros((0, len(reference)))
        self.value = 0.0

    def add(self, costs: FloatArray) -> None:
        """Add one point ``(D,)``, finite, lower is better, and update ``value``."""
        is_inside = bool((costs < self._reference).all())
        if not is_inside or bool((self._front <= costs).all(axis=1).any()):
            return
        kept = self._front[~(costs <= self._front).all(axis=1)]
        self._front = np.vstack([kept, costs])
        self.value = hypervolume(self._front, self._reference)

"""Constraints: bounds on metrics that a trial has to keep to be on the front.

[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunebox.pareto.objectives import FloatArray, MissingObjectiveError


@dataclass(frozen=True)
class Constraint:
    """A metric and the values it may have, ends included; None leaves that side open."""

    metric: str
    low: float | None
    high: float | None

    def __str__(self) -> str:
        bounds = ((">=", self.low), ("<=", self.high))
        return " and ".join(f"{self.metric} {sign} {b:g}" for sign, b in bounds if b is not None)


class Constraints:
    """The constraints of a search, in a fixed order; none at all is a search without."""

    def __init__(self, constraints: Sequence[Constraint] = ()) -> None:
        self._constraints = tuple(constraints)

    def __iter__(self) -> Iterator[Constraint]:
        return iter(self._constraints)

    def __bool__(self) -> bool:
        return bool(self._constraints)

    def __str__(self) -> str:
        return ", ".join(map(str, self._constraints))

    @property
    def num_bounds(self) -> int:
        """How many bounds there are: one or two for each constraint."""
        return sum((c.low is not None) + (c.high is not None) for c in self._constraints)

    def excesses(self, metrics: Mapping[str, float]) -> FloatArray:
        """Return how far ``metrics`` are beyond each bound, ``(num_bounds,)``; <= 0 where kept.

        In units of the bound (of 1 where the bound is 0), so that shares and counts of parameters
        can be added.

        Raises:
            MissingObjectiveError: A metric is absent.
        """
        excesses = []
        for constraint in self._constraints:
            if constraint.metric not in metrics:
                raise MissingObjectiveError(
                    f"a report lacks {constraint.metric!r}, which is constrained; "
                    f"it has {', '.join(metrics)}"
                )
            value = float(metrics[constraint.metric])
            if constraint.low is not None:
                excesses.append((constraint.low - value) / (abs(constraint.low) or 1.0))
            if constraint.high is not None:
                excesses.append((value - constraint.high) / (abs(constraint.high) or 1.0))
        return np.array(excesses, dtype=np.float64)

    def are_kept(self, metrics: Mapping[str, float]) -> bool:
        """Return whether ``metrics`` break no bound: whether the trial is feasible [Deb2002]."""
        return total_violation(self.excesses(metrics)) == 0


def total_violation(excesses: FloatArray) -> float:
    """Return the sum of the excesses above 0: the constraint violation of [Deb2002, VI-A]."""
    return float(np.maximum(excesses, 0.0).sum())

"""Constraints: bounds on metrics that a trial must satisfy to be on the front.

[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunebox.pareto.objectives import FloatArray, MissingObjectiveError


@dataclass(frozen=True)
class Constraint:
    """Inclusive bounds on a metric; None leaves a side unbounded."""

    metric: str
    low: float | None
    high: float | None

    def __str__(self) -> str:
        bounds = ((">=", self.low), ("<=", self.high))
        return " and ".join(f"{self.metric} {sign} {b:g}" for sign, b in bounds if b is not None)


class Constraints:
    """The constraints of a search in a fixed order; empty if it has none."""

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
        """The number of bounds, one or two per constraint."""
        return sum((c.low is not None) + (c.high is not None) for c in self._constraints)

    def violations(self, metrics: Mapping[str, float]) -> FloatArray:
        """Return by how much ``metrics`` violate each bound, ``(num_bounds,)``; <= 0 if satisfied.

        Each value is relative to the magnitude of its bound (absolute for a bound of 0), so that
        violations of accuracies and of parameter counts can be added.

        Raises:
            MissingObjectiveError: A metric is absent.
        """
        violations = []
        for constraint in self._constraints:
            if constraint.metric not in metrics:
                raise MissingObjectiveError(
                    f"a report lacks {constraint.metric!r}, which is constrained; "
                    f"it has {', '.join(metrics)}"
                )
            value = float(metrics[constraint.metric])
            if constraint.low is not None:
                violations.append((constraint.low - value) / (abs(constraint.low) or 1.0))
            if constraint.high is not None:
                violations.append((value - constraint.high) / (abs(constraint.high) or 1.0))
        return np.array(violations, dtype=np.float64)

    def are_kept(self, metrics: Mapping[str, float]) -> bool:
        """Return whether ``metrics`` satisfy all bounds: the trial is feasible [Deb2002]."""
        return total_violation(self.violations(metrics)) == 0


def total_violation(violations: FloatArray) -> float:
    """Return the sum of the positive violations, the constraint violation of [Deb2002, VI-A]."""
    return float(np.maximum(violations, 0.0).sum())

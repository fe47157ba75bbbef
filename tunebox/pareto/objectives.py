"""Objectives, and their costs: turned once so that everything below minimises."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """A metric, whether more of it is better, and the worst value that still counts."""

    name: str
    maximize: bool
    reference: float


class MissingObjectiveError(KeyError):
    """A report without one of the objectives."""


class Objectives:
    """The objectives of a search, in a fixed order."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        assert objectives
        self._objectives = tuple(objectives)
        self._signs = np.array([-1.0 if o.maximize else 1.0 for o in objectives])

    def __iter__(self) -> Iterator[Objective]:
        return iter(self._objectives)

    def __len__(self) -> int:
        return len(self._objectives)

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that are objectives."""
        return tuple(objective.name for objective in self._objectives)

    @property
    def reference_costs(self) -> FloatArray:
        """The reference point as costs, ``(D,)``."""
        worst = np.array([objective.reference for objective in self._objectives])
        return np.asarray(self._signs * worst, dtype=np.float64)

    def costs(self, metrics: Mapping[str, float]) -> FloatArray:
        """Return the costs of one report, ``(D,)``; lower is better in each.

        Raises:
            MissingObjectiveError: A metric is absent.
        """
        absent = [name for name in self.names if name not in metrics]
        if absent:
            raise MissingObjectiveError(
                f"a report lacks the objective {absent[0]!r}; it has {', '.join(metrics)}"
            )
        values = np.array([float(metrics[name]) for name in self.names])
        return np.asarray(self._signs * values, dtype=np.float64)

"""Objectives, and their costs: the sign is set once, so that all other code minimises."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """A metric to optimise, its direction, and its coordinate of the reference point."""

    name: str
    maximize: bool
    reference: float


class MissingObjectiveError(KeyError):
    """A report lacks the metric of an objective or a constraint."""


class Objectives:
    """The objectives of a search, in a fixed order.

    Attributes:
        only_known: Whether these are the only metrics of the search of which it is known which way
            is better: the others were named by a training loop of the user's own.
    """

    def __init__(self, objectives: Sequence[Objective], *, only_known: bool = False) -> None:
        assert objectives
        self.only_known = only_known
        self._objectives = tuple(objectives)
        self._signs = np.array([-1.0 if o.maximize else 1.0 for o in objectives])

    def __iter__(self) -> Iterator[Objective]:
        return iter(self._objectives)

    def __len__(self) -> int:
        return len(self._objectives)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the objectives."""
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

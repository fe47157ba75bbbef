"""Who goes on: asynchronous successive halving for several objectives.

[Li2020] L. Li et al. A system for massively parallel hyperparameter tuning. MLSys 2020.
    (The stopping variant: a trial is judged at a rung against those that were there before.)
[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

import numpy as np

from tunebox.pareto.dominance import place_of_last
from tunebox.pareto.objectives import FloatArray


def rung_epochs(min_epochs: int, max_epochs: int, reduction_factor: int) -> tuple[int, ...]:
    """Return the epochs at which trials are judged: ``min_epochs * reduction_factor**k``.

    All lie below ``max_epochs``: a trial that gets there has finished and is not judged.

    Raises:
        ValueError: ``min_epochs < 1``, ``max_epochs < min_epochs`` or ``reduction_factor < 2``.
    """
    if min_epochs < 1 or max_epochs < min_epochs:
        raise ValueError(
            f"rungs need 1 <= min_epochs <= max_epochs, got {min_epochs} and {max_epochs}"
        )
    if reduction_factor < 2:
        raise ValueError(f"reduction_factor must be at least 2, got {reduction_factor}")
    epochs = []
    epoch = min_epochs
    while epoch < max_epochs:
        epochs.append(epoch)
        epoch *= reduction_factor
    return tuple(epochs)


class Ladder:
    """The rungs of a search, and the costs of every trial that reached each of them.

    A pure function of the reports in the order they came: no clock, no random numbers.
    """

    def __init__(self, min_epochs: int, max_epochs: int, reduction_factor: int) -> None:
        self._reduction_factor = reduction_factor
        self._rungs: dict[int, dict[str, tuple[float, FloatArray]]] = {
            epoch: {} for epoch in rung_epochs(min_epochs, max_epochs, reduction_factor)
        }

    @property
    def epochs(self) -> tuple[int, ...]:
        """The epochs of the rungs, ascending."""
        return tuple(self._rungs)

    def report(self, trial_id: str, epoch: int, costs: FloatArray, violation: float = 0.0) -> bool:
        """Return whether the trial goes on.

        Between rungs every trial does. At a rung it does when it is among the best
        ``ceil(n / reduction_factor)`` of the ``n`` trials seen there, itself included: ranked
        by constraint violation [Deb2002, VI-A], trials with the same violation (0: all feasible
        ones) by non-domination, inside a front by isolation. The first trial at a rung goes on.

        Args:
            trial_id: Of the trial that reports; a second report at a rung replaces the first.
            epoch: Epochs that the trial has trained.
            costs: ``(D,)``, finite, lower is better.
            violation: By how much it breaks constraints, 0 if it does not; finite.
        """
        assert np.isfinite(costs).all()
        rung = self._rungs.get(epoch)
        if rung is None:
            return True
        rung.pop(trial_id, None)
        rung[trial_id] = (violation, costs)
        place = sum(other < violation for other, _ in rung.values())
        alike = [other_costs for other, other_costs in rung.values() if other == violation]
        place += place_of_last(np.stack(alike))  # the newest is the last row
        return place < -(-len(rung) // self._reduction_factor)

"""Who goes on: asynchronous successive halving for several objectives.

[Li2020] L. Li et al. A system for massively parallel hyperparameter tuning. MLSys 2020.
    (The stopping variant: a trial is judged at a rung against those that were there before.)
[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from bisect import bisect_left, insort

import numpy as np

from tunebox.pareto.isolation import FrontRule, IsolationRule, isolation_rule
from tunebox.pareto.objectives import FloatArray
from tunebox.pareto.ranked_fronts import RankedFronts


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

    A pure function of the reports: no clock, no random numbers. What is decided about a trial
    depends on which trials were at the rung before it, and not on the order in which they came.
    """

    def __init__(
        self,
        min_epochs: int,
        max_epochs: int,
        reduction_factor: int,
        front_rule: FrontRule = "crowding",
    ) -> None:
        self._reduction_factor = reduction_factor
        self._isolation = isolation_rule(front_rule)
        self._rungs = {
            epoch: _Rung() for epoch in rung_epochs(min_epochs, max_epochs, reduction_factor)
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
        ones) by non-domination, inside a front by isolation, and behind those that tie in all
        three. The first trial at a rung goes on.

        Of two trials judged against the same trials, each other included, the one that
        dominates is not stopped where the other goes on: it has the lower rank. A trial that
        comes later meets more trials, and may be stopped where a worse one went on before.

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
        place = rung.add(trial_id, costs, violation, self._isolation)
        return place < -(-len(rung) // self._reduction_factor)


class _Rung:
    """The trials at a rung, kept in their order."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[FloatArray, float]] = {}
        self._violations: list[float] = []  # of all trials, ascending
        self._fronts: dict[float, RankedFronts] = {}  # of the trials with the same violation

    def __len__(self) -> int:
        return len(self._reports)

    def add(
        self, trial_id: str, costs: FloatArray, violation: float, isolation: IsolationRule
    ) -> int:
        """Take in a trial and return how many of the others come before it, ``0 .. n-1``."""
        if trial_id in self._reports:
            del self._reports[trial_id]
            self._sort_again()
        self._reports[trial_id] = (costs, violation)
        rank = self._insert(costs, violation)
        fronts = self._fronts[violation]
        alone = isolation(fronts.front(rank))  # the newest is the last row
        place = bisect_left(self._violations, violation) + fronts.num_above(rank)
        return place + int((alone[:-1] >= alone[-1]).sum())

    def _insert(self, costs: FloatArray, violation: float) -> int:
        insort(self._violations, violation)
        return self._fronts.setdefault(violation, RankedFronts()).add(costs)

    def _sort_again(self) -> None:
        self._violations, self._fronts = [], {}
        for costs, violation in self._reports.values():
            self._insert(costs, violation)

"""Asynchronous successive halving for several objectives: which trials go on.

[Li2020] L. Li et al. A system for massively parallel hyperparameter tuning. MLSys 2020.
    (The stopping variant: a trial is compared with those that reached the rung before it.)
[Deb2002] K. Deb, A. Pratap, S. Agarwal, T. Meyarivan. A fast and elitist multiobjective genetic
    algorithm: NSGA-II. IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from bisect import bisect_left, insort

import numpy as np

from tunebox.pareto.isolation import FrontRule, IsolationRule, isolation_rule
from tunebox.pareto.objectives import FloatArray
from tunebox.pareto.ranked_fronts import RankedFronts


def rung_epochs(min_epochs: int, max_epochs: int, reduction_factor: int) -> tuple[int, ...]:
    """Return the epochs of the rungs: ``min_epochs * reduction_factor**k``.

    All lie below ``max_epochs``, where a trial has finished and is not compared any more.

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
    """The rungs of a search, with the costs of every trial that reached them.

    Decisions are a pure function of the reports, without clock or random numbers. The decision
    about a trial depends on the set of trials that reached the rung before it, and not on their
    order unless it ties with some of them.
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

        Between rungs every trial goes on. At a rung a trial goes on if it is among the best
        ``ceil(n / reduction_factor)`` of the ``n`` trials that reached the rung, itself included.
        They are ranked by constraint violation [Deb2002, VI-A], which is 0 for all feasible
        trials, then by non-domination, then by isolation on the front. The first trial at a rung
        goes on.

        Trials that tie in all three share the places that they hold together: if there are fewer
        places than trials, a new one goes on while fewer of the others went on than there are
        places. So of equal trials one in ``reduction_factor`` goes on.

        Of two trials that are compared with the same trials, each other included, the dominating
        one has the lower rank: it is not stopped where the other goes on. A trial that comes later
        is compared with more trials, and may be stopped where a worse one went on before.

        Args:
            trial_id: Id of the trial that reports. A second report at a rung replaces the first.
            epoch: Number of epochs that the trial has trained.
            costs: Costs of the report, ``(D,)``, finite, lower is better.
            violation: Total constraint violation of the report, finite; 0 if it is feasible.
        """
        assert np.isfinite(costs).all()
        rung = self._rungs.get(epoch)
        if rung is None:
            return True
        return rung.add(trial_id, costs, violation, self._isolation, self._reduction_factor)


class _Rung:
    """The trials at a rung, in ranked order."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[FloatArray, float, bool]] = {}  # and who went on
        self._violations: list[float] = []  # of all trials, ascending
        self._groups: dict[float, _Group] = {}  # of the trials with the same violation

    def add(
        self,
        trial_id: str,
        costs: FloatArray,
        violation: float,
        isolation: IsolationRule,
        reduction_factor: int,
    ) -> bool:
        """Add a trial and return whether it goes on."""
        if self._reports.pop(trial_id, None) is not None:
            self._sort_again()
        rank = self._insert(costs, violation)
        group = self._groups[violation]
        alone = isolation(group.fronts.front(rank))  # the newest is the last row
        is_tied = alone[:-1] == alone[-1]
        num_before = bisect_left(self._violations, violation) + group.fronts.num_above(rank)
        num_before += int((alone[:-1] > alone[-1]).sum())
        num_places = -(-len(self._violations) // reduction_factor) - num_before
        tied = group.fronts.numbers(rank)[:-1][is_tied]
        num_taken = sum(group.went_on[number] for number in tied)
        goes_on = len(tied) < num_places or num_taken < num_places
        group.went_on.append(goes_on)
        self._reports[trial_id] = (costs, violation, goes_on)
        return goes_on

    def _insert(self, costs: FloatArray, violation: float) -> int:
        insort(self._violations, violation)
        return self._groups.setdefault(violation, _Group()).fronts.add(costs)

    def _sort_again(self) -> None:
        self._violations, self._groups = [], {}
        for costs, violation, went_on in self._reports.values():
            self._insert(costs, violation)
            self._groups[violation].went_on.append(went_on)


class _Group:
    """Trials with the same constraint violation."""

    def __init__(self) -> None:
        self.fronts = RankedFronts()
        self.went_on: list[bool] = []  # by the number of the trial in ``fronts``

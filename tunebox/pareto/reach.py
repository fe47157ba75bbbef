"""Who may still reach the front, judged by how finished trials went on from the same rung.

Successive halving stops half of the trials at a rung even when all of them are good, as they are
once the sampler knows where to look, and how trials rank early then says little about the end.
Here is the other half of the answer: what a trial can still become.

[Welford1962] B. P. Welford. Note on a method for calculating corrected sums of squares and
    products. Technometrics 4(3), 1962.
"""

import numpy as np

from tunebox.pareto.front import with_point
from tunebox.pareto.objectives import FloatArray

MIN_FINISHED = 5  # trials; fewer say too little about how far a trial goes


class Reach:
    """The front of all reports, and how much finished trials gained after each rung.

    A pure function of the reports. Times grow with the front and not with the number of trials.
    """

    def __init__(self, rungs: tuple[int, ...], max_epochs: int, num_objectives: int) -> None:
        """Start with nothing known: nothing is in reach until `MIN_FINISHED` trials finished."""
        self._max_epochs = max_epochs
        self._front = np.zeros((0, num_objectives))
        self._curves: dict[str, dict[int, FloatArray]] = {}  # of trials that have not finished
        # per rung: the changes of costs from there to any later epoch that none is better than,
        self._changes = {epoch: np.zeros((0, num_objectives)) for epoch in rungs}
        # and how the least change of every cost varies from trial to trial
        self._spread = {epoch: _Spread(num_objectives) for epoch in rungs}

    def report(self, trial_id: str, epoch: int, costs: FloatArray) -> bool:
        """Return whether the trial at a rung may still come to be on the front.

        It may if some change of costs that a finished trial had between this rung and a later
        epoch, and better by one standard deviation of such changes, would take it where no report
        dominates or equals it. Between rungs, and before enough trials finished, False.

        Of two trials judged on the same reports, the one that dominates may if the other may.

        Args:
            trial_id: Of the trial that reports.
            epoch: Epochs that the trial has trained.
            costs: ``(D,)``, finite, lower is better.
        """
        self._front = with_point(self._front, costs)
        curve = self._curves.setdefault(trial_id, {})
        curve[epoch] = costs
        if epoch == self._max_epochs:
            self._finish(self._curves.pop(trial_id))
        spread = self._spread.get(epoch)
        if spread is None or spread.count < MIN_FINISHED:
            return False
        futures = costs + self._changes[epoch] - spread.deviation
        is_beaten = (self._front[:, np.newaxis] <= futures).all(axis=2).any(axis=0)
        return not is_beaten.all()

    def end(self, trial_id: str) -> None:
        """Forget the reports of a trial that reports no more."""
        self._curves.pop(trial_id, None)

    def _finish(self, curve: dict[int, FloatArray]) -> None:
        for rung in self._changes:
            if rung not in curve:
                continue  # a trial of which that report was lost
            later = np.array([costs for epoch, costs in curve.items() if epoch > rung])
            changes = later - curve[rung]
            self._spread[rung].add(changes.min(axis=0))
            for change in changes:
                self._changes[rung] = with_point(self._changes[rung], change)


class _Spread:
    """Mean and standard deviation of vectors that come one after the other [Welford1962]."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self._mean = np.zeros(size)
        self._squares = np.zeros(size)  # of the distances to the mean, summed

    @property
    def deviation(self) -> FloatArray:
        """The standard deviation ``(D,)`` of the vectors so far, at least one."""
        return np.asarray(np.sqrt(self._squares / self.count))

    def add(self, vector: FloatArray) -> None:
        """Take in one vector ``(D,)``."""
        self.count += 1
        step = vector - self._mean
        self._mean = self._mean + step / self.count
        self._squares = self._squares + step * (vector - self._mean)

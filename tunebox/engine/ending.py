"""When a search ends before its last trial: on request, out of budget, or because of trouble."""

from collections import Counter
from collections.abc import Callable

from tunebox.decisions.budget import Budget
from tunebox.decisions.trials import TrialRecord, TrialState

_SAME_AT_FIRST = 3  # that fail for the same reason before one succeeds: a bug, not bad luck
_ENOUGH_TRIALS = 10  # that have ended before the fraction of failures is checked


class Ending:
    """Collects the reasons to end a search."""

    def __init__(self, budget: Budget, seconds: Callable[[], float]) -> None:
        """Start with no reason.

        Args:
            budget: What the search may spend.
            seconds: Returns the seconds since the search started.
        """
        self._budget = budget
        self._seconds = seconds
        self._reason: str | None = None
        self.is_interrupted: Callable[[], bool] = lambda: False  # whether the user asked for it
        self.trouble: str | None = None  # the first line passed to `end_for`
        self.traceback: str | None = None

    def end_for(self, trouble: str, traceback: str | None = None) -> None:
        """End the search because of ``trouble``, which is shown at its end."""
        if self.trouble is None:
            self.trouble, self.traceback = trouble, traceback

    @property
    def reason(self) -> str | None:
        """Return the first reason to train no further epoch; None to go on."""
        if self._reason is None:
            interrupted = "interrupted" if self.is_interrupted() else None
            self._reason = self.trouble or interrupted or self._budget.spent(self._seconds())
        return self._reason


class FailureLimits:
    """Ends a search in which too many trials fail.

    Counts the trials that ended since this process started: after a resume the cause may be
    gone.
    """

    def __init__(self, max_failed_fraction: float) -> None:
        """Start without any trial.

        Args:
            max_failed_fraction: Largest share of failed trials, in (0, 1]; checked from the tenth
                ended trial on.
        """
        self._max_failed_fraction = max_failed_fraction
        self._states: Counter[TrialState] = Counter()
        self._places: set[str] = set()

    def trial_ended(self, trial: TrialRecord, failed_at: str) -> str | None:
        """Count a trial, and return a line if the search is to stop.

        Args:
            trial: The trial that ended.
            failed_at: Equal for failures with the same cause; ignored unless the trial failed.
        """
        self._states[trial.state] += 1
        failed, ended = self._states[TrialState.FAILED], self._states.total()
        if trial.state is TrialState.FAILED:
            self._places.add(failed_at)
        # a diverged trial in between does not rule out a bug
        lost = self._states[TrialState.DIVERGED] + self._states[TrialState.COLLAPSED]
        is_first = failed + lost == ended
        if is_first and failed == _SAME_AT_FIRST and len(self._places) == 1:
            return (
                f"the first {failed} trials failed in the same way, so the search was stopped: "
                f"{trial.reason}"
            )
        if ended >= _ENOUGH_TRIALS and failed > self._max_failed_fraction * ended:
            return (
                f"{failed} of {ended} trials failed, more than "
                f"max_failed_fraction={self._max_failed_fraction:g}, so the search was stopped; "
                f"the last: {trial.reason}"
            )
        return None

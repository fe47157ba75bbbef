"""When a search ends before its last trial: asked to, out of time, or for trouble."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tunebox.errors import describe_os_error
from tunebox.search.budget import Budget
from tunebox.trials import SearchObserver, TrialLog, TrialRecord, TrialState

_SAME_AT_FIRST = 3  # trials that fail alike before one ends well: a bug, not bad luck
_ENOUGH_TRIALS = 10  # that ended, before a share of them says something


class Ending:
    """Collects the reasons to end a search."""

    def __init__(self, budget: Budget) -> None:
        """Start the clock of ``budget``."""
        self._budget = budget
        self._start = time.monotonic()
        self._reason: str | None = None
        self.is_interrupted: Callable[[], bool] = lambda: False  # whether a person wants it
        self.trouble: str | None = None  # the first line that `end_for` was given
        self.traceback: str | None = None

    def end_for(self, trouble: str, traceback: str | None = None) -> None:
        """End the search, which cannot go on in a useful way; ``trouble`` is told at its end."""
        if self.trouble is None:
            self.trouble, self.traceback = trouble, traceback

    @property
    def reason(self) -> str | None:
        """Why no further epoch is to be trained, the first such reason; None to go on."""
        if self._reason is None:
            interrupted = "interrupted" if self.is_interrupted() else None
            spent = self._budget.spent(time.monotonic() - self._start)
            self._reason = self.trouble or interrupted or spent
        return self._reason


class Observers(SearchObserver):
    """Several observers as one: told in order, each even when one before it cannot write.

    The first keeps what a resume knows. From when it cannot, the others do not hear of trials that
    are planned, start or report: the resume does that again, in its own way. They do hear of ends,
    so that nothing is left open.
    """

    def __init__(self, observers: Sequence[SearchObserver], ending: Ending) -> None:
        self._observers = observers
        self._ending = ending
        self._is_kept = True

    def _told(self, observer: SearchObserver, hook: str, what: tuple[Any, ...]) -> bool:
        try:
            getattr(observer, hook)(*what)
        except OSError as error:
            self._ending.end_for(describe_os_error(error))
            return False
        return True

    def _tell(self, hook: str, *what: Any) -> None:
        told = [self._told(observer, hook, what) for observer in self._observers]
        self._is_kept = self._is_kept and told[0]

    def _tell_if_kept(self, hook: str, *what: Any) -> None:
        first, *others = self._observers
        self._is_kept = self._is_kept and self._told(first, hook, what)
        if self._is_kept:
            for observer in others:
                self._told(observer, hook, what)

    def search_started(self, log: TrialLog) -> None:
        """Tell all of them."""
        self._tell("search_started", log)

    def trial_planned(self, trial_id: str, settings: Any) -> None:
        """Tell all of them, if it is kept."""
        self._tell_if_kept("trial_planned", trial_id, settings)

    def trial_started(self, trial: TrialRecord) -> None:
        """Tell all of them, if it is kept."""
        self._tell_if_kept("trial_started", trial)

    def trial_reported(self, trial: TrialRecord, report: Any) -> None:
        """Tell all of them, if it is kept."""
        self._tell_if_kept("trial_reported", trial, report)

    def trial_ended(self, trial: TrialRecord) -> None:
        """Tell all of them."""
        self._tell("trial_ended", trial)

    def noted(self, line: str) -> None:
        """Tell all of them."""
        self._tell("noted", line)

    def tick(self) -> None:
        """Tell all of them."""
        self._tell("tick")

    def search_ended(self, interrupted: bool, trouble: str | None = None) -> None:
        """Tell all of them."""
        self._tell("search_ended", interrupted, trouble)


class FailureLimits:
    """Says when so many trials failed that a search is stopped.

    Counted are the trials that ended since this process took up the search: after a resume the
    cause may be gone.
    """

    def __init__(self, max_failed_fraction: float) -> None:
        """Start with nothing counted.

        Args:
            max_failed_fraction: In (0, 1]; judged from the tenth ended trial on.
        """
        self._max_failed_fraction = max_failed_fraction
        self._states: Counter[TrialState] = Counter()
        self._places: set[str] = set()

    def trial_ended(self, trial: TrialRecord, failed_at: str) -> str | None:
        """Count a trial, and return a line if the search is to stop.

        Args:
            trial: That ended.
            failed_at: The same for failures of one cause; of no meaning unless it failed.
        """
        self._states[trial.state] += 1
        failed, ended = self._states[TrialState.FAILED], self._states.total()
        if trial.state is TrialState.FAILED:
            self._places.add(failed_at)
        # one that diverged in between tells nothing of the others
        is_first = failed + self._states[TrialState.DIVERGED] == ended
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

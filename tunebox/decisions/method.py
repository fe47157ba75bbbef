"""The interface of a search method: which settings to try next, and which trials go on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum

from tunebox.spec.space import Values


class Verdict(Enum):
    """What a trial does after a report."""

    CONTINUE = "continue"
    PAUSE = "pause"  # it gives its worker back and may be promoted later
    STOP = "stop"


class SearchMethod(ABC):
    """The decisions of a search, as functions of its events: no Ray, no clock, no file.

    ``suggest``, ``expected_gain``, ``choose_paused``, ``choose_superfluous`` and ``why_stopped``
    change nothing. The other calls come in the order in which things happened, so that a resumed
    search decides as the search did.

    Attributes:
        rungs: Epochs at which a trial may end or pause unless it fails, ascending.
    """

    rungs: tuple[int, ...] = ()

    @abstractmethod
    def suggest(self, trial_id: str) -> Values | None:
        """Return settings for the next trial, None while no further trial is worth its epochs."""

    def expected_gain(self, values: Values) -> float | None:
        """Return the hypervolume that a full training with ``values`` is expected to add.

        None where no model says it; otherwise >= 0, in the product of the objectives' units.
        """
        return None

    def adopt(self, trial_id: str, values: Values) -> None:  # noqa: B027
        """Record that the next trial has the settings ``values``."""

    @abstractmethod
    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        """Record a report and return what the trial does after ``epoch``."""

    def choose_paused(self) -> str | None:
        """Return the paused trial that a free worker goes on with, None to start a new one."""
        return None

    def choose_superfluous(self) -> str | None:
        """Return a paused trial that is to end, None while there are not too many."""
        return None

    def why_stopped(self, trial_id: str) -> str | None:
        """Return why a trial that reports no more was stopped, None where it is plain."""
        return None

    def promote(self, trial_id: str) -> None:  # noqa: B027
        """Record that a paused trial goes on."""

    @abstractmethod
    def end(self, trial_id: str, failed: bool) -> None:
        """Record the end of a trial; ``failed`` if it failed or diverged."""

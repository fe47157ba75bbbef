"""The interface of executors, which run the trials of a search and report what happens."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebox import clock
from tunebox.spec.space import Values

if TYPE_CHECKING:
    from tunebox.engine.drive import RunningSearch


@dataclass(frozen=True)
class TrialStart:
    """A trial that a free worker is to run."""

    trial_id: str
    settings: Values
    seed: int | None  # of the training; None: that of the search
    epochs: int  # reported before a resume or pause: training continues from the checkpoint


class Executor(ABC):
    """Runs the trials of a search: on a Ray cluster, in this process, or from recorded curves."""

    @abstractmethod
    def run(self, search: "RunningSearch") -> None:
        """Run trials until the search has none left or has a reason to stop.

        A free worker takes ``search.next_trial()``; it calls ``started``, ``reported``,
        ``paused``, ``ended`` and ``failed`` of the search as this happens.
        """

    def now(self) -> float:
        """Return the time of an event in seconds since 1970, or of a simulated clock."""
        return clock.now()

    def seconds(self) -> float:
        """Return the seconds of a monotonic clock, by which a time budget is measured."""
        return time.monotonic()

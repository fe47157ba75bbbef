"""What happens to the trials of a search, as plain data: what a journal holds, in order."""

from dataclasses import dataclass
from typing import TypeAlias

from tunebox.spec.space import Values
from tunebox.trials import Report, TrialState


@dataclass(frozen=True)
class Planned:
    """A trial has its settings; it may not have started."""

    trial_id: str
    settings: Values


@dataclass(frozen=True)
class Started:
    """A trial runs, for the first time or after a resume."""

    trial_id: str
    time: float  # seconds since 1970


@dataclass(frozen=True)
class Reported:
    """A trial has trained an epoch that it had not reported before."""

    trial_id: str
    report: Report
    node: str | None


@dataclass(frozen=True)
class Ended:
    """A trial is in ``state``, for good unless it was interrupted."""

    trial_id: str
    state: TrialState
    reason: str | None
    time: float


TrialEvent: TypeAlias = Planned | Started | Reported | Ended

"""The metrics of a user-defined training loop: those that it yields."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tunebox.spec.reported import ReportedMetrics
from tunebox.spec.search_spec import ConstraintSettings, ObjectiveSettings

_NAME = re.compile(r"[\w.:/-]+")
TAKEN = ("trial_id", "epoch", "time")  # columns of the history of a search


class OwnMetrics(ReportedMetrics):
    """The metrics of a loop, which are known only after its first yield."""

    def __init__(self) -> None:
        """Start without known metrics."""

    def direction(self, name: str) -> str | None:
        """Return None: only the search file gives a direction."""
        return None

    def check_metric(self, name: str, what: str) -> None:
        """Raise ValueError if ``name`` is not a valid name of a metric."""
        check_metric_name(name)

    def check_reference(self, name: str, objective: ObjectiveSettings) -> None:
        """Accept every reference."""

    def check_bounds(self, name: str, constraint: ConstraintSettings) -> None:
        """Accept every bound."""

    def left_out_of(self, names: Iterable[str]) -> list[str]:
        """Return none: a loop chooses its metrics itself."""
        return []


def check_metric_name(name: object) -> None:
    """Raise ValueError unless ``name`` is a valid name of a loop's metric."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a metric: letters, digits and _ . : / -")
    if name in TAKEN:
        raise ValueError(f"{name!r} is a column of the tables; choose another name for a metric")

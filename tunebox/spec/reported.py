"""The metrics that the trials of a search report, and checks of objectives and constraints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunebox.metrics.catalogue import COMPUTED, DEFAULT_COMPUTED, MEASURED, of_model
from tunebox.metrics.metric import Metric
from tunebox.parts.code import CodeFinder
from tunebox.spec.search_spec import ConstraintSettings, ObjectiveSettings
from tunebox.spec.training_settings import is_part, metric_part


class ReportedMetrics:
    """The metrics that every trial of a search reports."""

    def __init__(self, evaluation: Any, code: CodeFinder) -> None:
        """Collect them.

        Args:
            evaluation: ``evaluation`` of the search file, not checked yet.
            code: Finds the code of user-defined metrics.

        Raises:
            pydantic.ValidationError: A user-defined metric cannot be used.
        """
        chosen = evaluation.get("metrics") if isinstance(evaluation, Mapping) else None
        chosen = chosen if isinstance(chosen, list) else list(DEFAULT_COMPUTED)
        parts = [m for item in chosen if is_part(item) for m in metric_part(item, code).metrics()]
        with_settings = {metric.name: metric for metric in parts}
        could = {**COMPUTED, **of_model()}
        self._left_out = [n for n in could if n not in chosen and n not in with_settings]
        self._known = {**could, **MEASURED, **with_settings}

    def direction(self, name: str) -> str | None:
        """Return the direction of the metric ``name``, None if it has none or is unknown."""
        metric = self._known.get(name)
        return None if metric is None else metric.direction

    def check_objectives(self, objectives: Mapping[str, ObjectiveSettings]) -> None:
        """Raise ValueError for an invalid objective, or unless there are one to four."""
        for name, objective in objectives.items():
            self.check_metric(name, "objectives")
            wanted = self.direction(name)
            if wanted is not None and objective.direction != wanted:
                raise ValueError(
                    f"the direction of {name!r} is {wanted}, got {objective.direction}"
                )
            self.check_reference(name, objective)
        if not 1 <= len(objectives) <= 4:
            raise ValueError(f"a search has 1 to 4 objectives, got {len(objectives)}")

    def check_metric(self, name: str, what: str) -> None:
        """Raise ValueError unless every trial reports ``name`` after every epoch."""
        metric: Metric | None = self._known.get(name)
        if metric is None:
            raise ValueError(f"no trial reports {name!r}; {what} can be {', '.join(self._known)}")
        if metric.cadence != "epoch":
            raise ValueError(
                f"{name} is not reported after every epoch; {what} need metrics that are"
            )

    def check_reference(self, name: str, objective: ObjectiveSettings) -> None:
        """Raise ValueError for a reference that no share is better than: all gains would be 0."""
        reference = objective.reference
        is_beaten = reference < 1 if objective.direction == "maximize" else reference > 0
        if self._known[name].unit == "share" and not is_beaten:
            percent = f": write {reference / 100:g} for {reference:g} %" if reference > 1 else ""
            raise ValueError(
                f"{name!r} is a share from 0 to 1, never better than the reference "
                f"{reference:g}{percent}"
            )

    def check_bounds(self, name: str, constraint: ConstraintSettings) -> None:
        """Raise ValueError for a bound that is impossible for a share, such as 90 for 90 %."""
        is_share = self._known[name].unit == "share"
        for bound in (constraint.min, constraint.max):
            if is_share and bound is not None and not 0 <= bound <= 1:
                raise ValueError(
                    f"{name} is a share from 0 to 1, got {bound:g}: write 0.9 for 90 %"
                )

    def left_out_of(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` that ``evaluation/metrics`` could have, but does not list."""
        return [name for name in names if name in self._left_out]

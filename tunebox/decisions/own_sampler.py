"""A user-defined sampler: a function that is called for each trial with the earlier trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tunebox.decisions.samplers import Reports, seed_of
from tunebox.decisions.trials import TrialState
from tunebox.errors import SearchFileError, first_line
from tunebox.pareto.objectives import FloatArray
from tunebox.parts.own import location
from tunebox.spec.space import Leaf, Scalar, Space, Values

Suggest = Callable[[Space, "list[TriedTrial]", int], Mapping[str, Scalar]]


@dataclass
class TriedTrial:
    """A trial that was suggested before.

    Attributes:
        settings: Its settings, by path.
        costs: For each reported epoch, one number per objective; lower is better.
        violations: For each reported epoch, by how much each bound of a constraint is exceeded.
        is_running: Whether it can still report.
        failed: Whether it failed or diverged.
    """

    settings: Values
    costs: dict[int, FloatArray] = field(default_factory=dict)
    violations: dict[int, FloatArray] = field(default_factory=dict)
    is_running: bool = True
    failed: bool = False


class OwnSampler:
    """Calls a user-defined function for the settings of each trial."""

    def __init__(self, suggest: Suggest, space: Space, seed: int) -> None:
        """Start without any trial.

        Args:
            suggest: Takes the space, the trials so far in order, and a random seed for this
                suggestion. Returns the settings of the next trial, a value for each active leaf
                of the space. It must depend on nothing else, as a resume calls it again.
            space: The search space.
            seed: Random seed of the search.
        """
        self._suggest = suggest
        self._space = space
        self._seed = seed
        self._trials: dict[str, TriedTrial] = {}
        self._known: list[TriedTrial] = []  # trials of earlier searches

    def ask(self, trial_id: str, given: Mapping[str, Scalar]) -> Values:
        """Return settings for the next trial; those in ``given`` override the suggestion.

        Raises:
            SearchFileError: The function fails or returns something invalid.
        """
        trials = [*self._known, *self._trials.values()]
        try:
            suggested = self._suggest(self._space, trials, seed_of(self._seed, len(self._trials)))
        except Exception as error:
            raise self._trouble(f"{type(error).__name__}: {first_line(error)}") from error
        if not isinstance(suggested, Mapping):
            raise self._trouble(f"returns {type(suggested).__name__}, expected values by path")
        return self._space.draw(lambda leaf: self._value(leaf, {**suggested, **given}))

    def adopt(self, trial_id: str, values: Values) -> None:
        """Record that the next trial runs with ``values``."""
        self._trials[trial_id] = TriedTrial(dict(values))

    def tell(self, trial_id: str, epoch: int, costs: FloatArray, violations: FloatArray) -> None:
        """Record what a trial reported at ``epoch``."""
        trial = self._trials[trial_id]
        trial.costs[epoch], trial.violations[epoch] = costs, violations

    def end(self, trial_id: str, failed: bool) -> None:
        """Record that a trial has ended."""
        trial = self._trials[trial_id]
        trial.is_running, trial.failed = False, failed

    def learn(self, values: Values, reports: Reports, state: TrialState) -> None:
        """Record a trial of an earlier search."""
        costs = {epoch: report[0] for epoch, report in reports.items()}
        violations = {epoch: report[1] for epoch, report in reports.items()}
        failed = state.has_failed
        self._known.append(TriedTrial(dict(values), costs, violations, False, failed))

    def _value(self, leaf: Leaf, suggested: Mapping[str, Any]) -> Scalar:
        if leaf.path not in suggested:
            raise self._trouble(f"returns no value for {leaf.path}")
        try:
            return leaf.distribution.accept(suggested[leaf.path])
        except ValueError as error:
            raise self._trouble(f"{leaf.path}: {error}") from error

    def _trouble(self, message: str) -> SearchFileError:
        return SearchFileError(f"search/sampler: {location(self._suggest)}: {message}")

"""The whole of a search file: the space, the objectives, and how the search runs."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.errors import SearchFileError
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.parts.code import CodeFinder, is_reference
from tunebox.settings import Settings
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Space, Values
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.trial_kinds import AnyTrialConfig, TrialKind, trial_kind
from tunebox.spec.yaml_source import YamlSource

FORMAT = 1  # of a search file, a number that grows when an older tunebox would misread it
_MOST_REFERENCE = 1e30


class ObjectiveSettings(Settings):
    """A scalar that every trial reports, which way is better, and the worst value that counts."""

    direction: Literal["maximize", "minimize"]
    # a coordinate of the hypervolume's reference point; their product must stay a number
    reference: float = Field(ge=-_MOST_REFERENCE, le=_MOST_REFERENCE)


class ConstraintSettings(Settings):
    """Values that a metric may have on the front, ends included: ``min``, ``max`` or both."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some_value_is_allowed(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a constraint needs min, max or both, like {min: 0.9}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min must be at most max, got min={self.min} and max={self.max}")
        return self


@dataclass(frozen=True)
class SearchSpec:
    """A search file that has been checked.

    ``question`` is the comment on the first line of the file, empty when there is none. ``start``
    has the settings to try first, by the path of a leaf; the sampler completes them. ``code``
    finds the code of the user's own that the file names.
    """

    source: YamlSource
    question: str
    space: Space
    objectives: dict[str, ObjectiveSettings]
    search: SearchSettings
    constraints: dict[str, ConstraintSettings] = field(default_factory=dict)
    start: tuple[Values, ...] = ()
    code: CodeFinder = field(default_factory=CodeFinder)

    @property
    def constraint_set(self) -> Constraints:
        """The constraints on what is on the front."""
        return Constraints([Constraint(n, c.min, c.max) for n, c in self.constraints.items()])

    @property
    def objective_set(self) -> Objectives:
        """The objectives as costs are made of them."""
        return Objectives(
            [
                Objective(name, settings.direction == "maximize", settings.reference)
                for name, settings in self.objectives.items()
            ],
            only_known=self.kind.names_metrics,
        )

    @property
    def stem(self) -> str:
        """The name of the file without folder and ending, as far as it can be in a folder's name.

        ``search`` for standard input and for data.
        """
        stem = "search" if self.source.name.startswith("<") else Path(self.source.name).stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:80].strip(".-") or "search"

    @property
    def kind(self) -> TrialKind:
        """What its trials are."""
        return trial_kind(self.source.data)

    def trial(self, values: Values) -> AnyTrialConfig:
        """Return the concrete trial that ``values`` stand for."""
        settings, _ = self.space.resolve(values)
        return self.kind.config(settings, self.code)

    def first_trial(self) -> AnyTrialConfig:
        """Return a trial, for what is the same in all of them."""
        return self.trial(self.space.filled({}))

    def trial_config(self, values: Values) -> TrialConfig:
        """Return the concrete trial that ``values`` stand for, of a search for classifiers.

        Raises:
            SearchFileError: The trials are training loops of the user's own.
        """
        config = self.trial(values)
        if isinstance(config, TrialConfig):
            return config
        raise SearchFileError(
            f"{self.source.name}: its trials are runs of your own training loop {config.trial}, "
            "not classifiers that tunebox builds"
        )

    @property
    def references(self) -> list[str]:
        """References to code of the user's own, such as ``parts.py:Net``."""
        of_parts = self.kind.references(self.source.data)
        of_sampler = [self.search.sampler] if is_reference(self.search.sampler) else []
        return list(dict.fromkeys([*of_parts, *of_sampler]))

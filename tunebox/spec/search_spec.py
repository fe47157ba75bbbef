"""The whole of a search file: the space, the objectives, and how the search runs."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.isolation import FrontRule
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.settings import Settings
from tunebox.spec.space import Space, Values
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.yaml_source import YamlSource
from tunebox.training.metrics import TRIAL_METRICS

FORMAT = 1  # of a search file, a number that grows when an older tunebox would misread it
_OUT_VARIABLE = "TUNEBOX_OUT"


def default_out() -> str:
    """Return the folder of all searches: what ``TUNEBOX_OUT`` says, else ``results``.

    On the nodes of a cluster the variable names a folder that all of them see.
    """
    return os.environ.get(_OUT_VARIABLE) or "results"


class ObjectiveSettings(Settings):
    """A scalar that every trial reports, which way is better, and the worst value that counts."""

    direction: Literal["maximize", "minimize"]
    reference: float  # a coordinate of the hypervolume's reference point


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


class HypervolumeStalls(Settings):
    """The last ``trials`` to end raised the front's hypervolume by less than ``tolerance``.

    By less than that share of what it was before them; a hypervolume of 0 does not stall.
    """

    trials: int = Field(ge=1)
    tolerance: float = Field(gt=0)


class StopWhen(Settings):
    """``search/stop_when``: what ends a search before its budgets are spent."""

    hypervolume_stalls: HypervolumeStalls


class SearchSettings(Settings):
    """``search`` in a search file; ``tunebox search -h`` says which keys are also options.

    ``trials``, ``epochs`` and ``time_budget`` are budgets: the first that is spent ends the search.
    """

    sampler: Literal["tpe", "nsga2", "gp", "qmc", "random"] = "tpe"
    trials: int = Field(64, ge=1)
    epochs: int | None = Field(None, ge=1)  # of all trials together
    max_epochs: int = Field(27, ge=1)
    # the first rung, before which no trial is stopped; null: a quarter of max_epochs
    min_epochs: int | None = Field(None, ge=1)
    reduction_factor: int = Field(2, ge=2)  # one in so many goes on at a rung
    front_rule: FrontRule = "crowding"  # who goes first inside a front at a rung
    time_budget: float | None = Field(None, gt=0)  # seconds of wall clock
    stop_when: StopWhen | None = None
    warm_start: list[str] = Field(default_factory=list)  # names of earlier searches in out
    seed: int = Field(0, ge=0)
    # node: all CPUs of a node, so that nothing else runs there
    cpus_per_trial: Annotated[float, Field(gt=0)] | Literal["node"] = 1.0
    # auto: measured once, when the search starts
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = 0.0
    # restarts of a trial that lost its worker, its node or its memory
    max_failures: int = Field(2, ge=0)
    # stops the search when more of its trials failed; judged from the tenth ended trial on
    max_failed_fraction: float = Field(0.5, gt=0, le=1)
    max_concurrent: int | None = Field(None, ge=1)  # null: as many as the cluster holds
    name: str | None = None  # null: the file's name and a number
    out: str = Field(default_factory=default_out)
    address: str | None = None  # of a Ray cluster; null: join a running one, else start one here

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str | None) -> str | None:
        if name is not None:
            check_name(name)
        return name

    @field_validator("warm_start")
    @classmethod
    def _warm_starts_are_folder_names(cls, names: list[str]) -> list[str]:
        for name in names:
            check_name(name)
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is there twice; name each earlier search once")
        return names

    @model_validator(mode="after")
    def _min_within_max(self) -> Self:
        if self.min_epochs is not None and self.min_epochs > self.max_epochs:
            raise ValueError(
                f"min_epochs must be at most max_epochs, got min_epochs={self.min_epochs} "
                f"and max_epochs={self.max_epochs}: lower search/min_epochs in the file, or take "
                "it out for a quarter of max_epochs"
            )
        return self

    @property
    def first_rung(self) -> int:
        """The epoch before which no trial is stopped: ``min_epochs`` where it is given."""
        return self.min_epochs or max(1, self.max_epochs // 4)


def check_name(name: str) -> None:
    """Raise ValueError unless ``name`` can be the name of a folder inside the output folder."""
    allowed = name.replace("-", "").replace("_", "").replace(".", "")
    if not (allowed.isascii() and allowed.isalnum()) or name[0] in ".-" or len(name) > 100:
        raise ValueError(
            f"a name has up to 100 letters, digits, '-', '_' and '.' and starts with a letter, "
            f"a digit or '_', got {name!r}"
        )


@dataclass(frozen=True)
class SearchSpec:
    """A search file that has been checked.

    ``question`` is the comment on the first line of the file, empty when there is none. ``start``
    has the settings to try first, by the path of a leaf; the sampler completes them.
    """

    source: YamlSource
    question: str
    space: Space
    objectives: dict[str, ObjectiveSettings]
    search: SearchSettings
    constraints: dict[str, ConstraintSettings] = field(default_factory=dict)
    start: tuple[Values, ...] = ()

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
            ]
        )

    @property
    def stem(self) -> str:
        """The name of the file without folder and ending, as far as it can be in a folder's name.

        ``search`` for standard input.
        """
        stem = "search" if self.source.name == "<stdin>" else Path(self.source.name).stem
        return re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[:80].strip(".-") or "search"

    def trial_config(self, values: Values) -> TrialConfig:
        """Return the concrete trial that ``values`` stand for."""
        settings, _ = self.space.resolve(values)
        return TrialConfig.model_validate(settings)


def check_objective_names(objectives: dict[str, ObjectiveSettings]) -> None:
    """Raise ValueError for an objective that no trial reports, or for none or more than four."""
    for name in objectives:
        check_metric(name, "objectives")
    if not 1 <= len(objectives) <= 4:
        raise ValueError(f"a search has 1 to 4 objectives, got {len(objectives)}")


def check_metric(name: str, what: str) -> None:
    """Raise ValueError unless ``name`` is a metric that every trial reports."""
    if name not in TRIAL_METRICS:
        raise ValueError(f"no trial reports {name!r}; {what} can be {', '.join(TRIAL_METRICS)}")


def check_bounds(name: str, constraint: ConstraintSettings) -> None:
    """Raise ValueError for a bound that an accuracy cannot have, such as 90 for 90 %."""
    for bound in (constraint.min, constraint.max):
        if name.endswith("_accuracy") and bound is not None and not 0 <= bound <= 1:
            raise ValueError(f"{name} is a share from 0 to 1, got {bound:g}: write 0.9 for 90 %")

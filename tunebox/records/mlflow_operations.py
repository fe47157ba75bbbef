"""What a search tells MLflow, as plain data: made at once, sent when MLflow takes it.

Times are in seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tunebox.spec.space import Scalar


@dataclass(frozen=True)
class StartSearch:
    """Open the parent run."""

    name: str
    params: Mapping[str, Scalar]
    tags: Mapping[str, str]
    files: tuple[Path, ...]
    time: float


@dataclass(frozen=True)
class StartTrial:
    """Open the child run of a trial."""

    trial_id: str
    params: Mapping[str, Scalar]
    tags: Mapping[str, str]
    time: float


@dataclass(frozen=True)
class LogMetrics:
    """Add one value of each of several metrics; of the parent run when ``trial_id`` is None."""

    trial_id: str | None
    metrics: Mapping[str, float]
    step: int
    time: float


@dataclass(frozen=True)
class SetTags:
    """Set tags; a tag with None is taken away. Of the parent run when ``trial_id`` is None."""

    trial_id: str | None
    tags: Mapping[str, str | None]


@dataclass(frozen=True)
class EndTrial:
    """Close the child run of a trial."""

    trial_id: str
    status: str  # FINISHED, FAILED or KILLED
    tags: Mapping[str, str]
    time: float


@dataclass(frozen=True)
class LogArtifacts:
    """Store files with the parent run."""

    files: tuple[Path, ...]


@dataclass(frozen=True)
class LogTable:
    """Store a table with the parent run, in the form that MLflow's page shows as a table."""

    file: str
    columns: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class EndSearch:
    """Close the parent run."""

    status: str
    time: float


Operation: TypeAlias = (
    StartSearch | StartTrial | LogMetrics | SetTags | EndTrial | LogArtifacts | LogTable | EndSearch
)

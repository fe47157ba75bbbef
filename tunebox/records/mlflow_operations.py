"""What a search tells MLflow, as plain data: made at once, sent when MLflow takes it.

Times are in seconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias, get_args

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
class Reopen:
    """Go on with a run that was closed; of the parent run when ``trial_id`` is None."""

    trial_id: str | None
    tags: Mapping[str, str]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Discard:
    """Take the child run of a trial away."""

    trial_id: str


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
    StartSearch
    | StartTrial
    | LogMetrics
    | SetTags
    | EndTrial
    | Reopen
    | Discard
    | LogArtifacts
    | LogTable
    | EndSearch
)
_KINDS: dict[str, type[Operation]] = {kind.__name__: kind for kind in get_args(Operation)}


def to_plain(operation: Operation, folder: Path) -> dict[str, Any]:
    """Return ``operation`` as JSON can hold it; paths inside ``folder`` are relative to it."""
    plain: dict[str, Any] = {"operation": type(operation).__name__}
    for item in fields(operation):
        value = getattr(operation, item.name)
        plain[item.name] = (
            [_short(path, folder) for path in value] if item.name == "files" else value
        )
    return plain


def from_plain(plain: Mapping[str, Any], folder: Path) -> Operation:
    """Return the operation that `to_plain` made ``plain`` of.

    Raises:
        KeyError, TypeError, AttributeError: It is none.
    """
    values = dict(plain)
    kind = _KINDS[values.pop("operation")]
    if "files" in values:
        values["files"] = tuple(folder / path for path in values["files"])
    if "columns" in values:
        values["columns"] = {name: tuple(column) for name, column in values["columns"].items()}
    return kind(**values)


def _short(path: Path, folder: Path) -> str:
    inside = path.is_relative_to(folder)
    return str(path.relative_to(folder) if inside else path.absolute())

"""Operations put together run by run, so that each run costs few calls however many there are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tunebox.records.mlflow_operations import (
    EndSearch,
    EndTrial,
    LogArtifacts,
    LogMetrics,
    LogTable,
    Operation,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.spec.space import Scalar


@dataclass
class RunUpdate:
    """All that is to be done to one run, in this order; ``trial_id`` None is the parent run.

    Whoever sends it takes away what has been sent, so that a retry goes on where it failed.
    """

    trial_id: str | None
    num_operations: int = 0
    start: StartSearch | StartTrial | None = None
    params: dict[str, Scalar] = field(default_factory=dict)
    metrics: list[LogMetrics] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    tables: list[LogTable] = field(default_factory=list)
    end: EndSearch | EndTrial | None = None

    def add(self, operation: Operation) -> None:
        """Put one more operation on this run into the update."""
        self.num_operations += 1
        match operation:
            case StartSearch():
                self.start = operation
                self.params.update(operation.params)
                self.files.extend(operation.files)
            case StartTrial():
                self.start = operation
                self.params.update(operation.params)
            case LogMetrics():
                self.metrics.append(operation)
            case SetTags():
                self.tags.update(operation.tags)
            case LogArtifacts():
                self.files.extend(operation.files)
            case LogTable():
                self.tables.append(operation)
            case EndTrial():
                self.tags.update(operation.tags)
                self.end = operation
            case EndSearch():
                self.end = operation


def merge(operations: Iterable[Operation]) -> list[RunUpdate]:
    """Return an update for each run that ``operations`` touch, in the order first touched.

    The order inside a run is kept where it matters: the last value of a tag wins, metrics stay
    in order, a run starts before and ends after everything else. Runs do not depend on each
    other, but for the parent run, which is opened before any child.
    """
    updates: dict[str | None, RunUpdate] = {}
    for operation in operations:
        trial_id = getattr(operation, "trial_id", None)
        updates.setdefault(trial_id, RunUpdate(trial_id)).add(operation)
    return list(updates.values())

"""Operations put together run by run, so that each run costs few calls however many there are."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tunebox.records.mlflow_operations import (
    Discard,
    EndSearch,
    EndTrial,
    LogArtifacts,
    LogMetrics,
    LogTable,
    Operation,
    Reopen,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.spec.space import Scalar

Numbered = tuple[int, Operation]


@dataclass
class RunUpdate:
    """All that is to be done to one run, in this order; ``trial_id`` None is the parent run."""

    trial_id: str | None
    operations: list[Numbered] = field(default_factory=list)  # of which it is put together
    discard: bool = False  # take away the run that there is, before anything else
    start: StartSearch | StartTrial | None = None
    params: dict[str, Scalar] = field(default_factory=dict)
    metrics: list[LogMetrics] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    tables: list[LogTable] = field(default_factory=list)
    status: tuple[str, float | None] | None = None  # and when it ended

    @property
    def numbers(self) -> list[int]:
        """The numbers of its operations."""
        return [number for number, _ in self.operations]

    def add(self, number: int, operation: Operation) -> None:
        """Put one more operation on this run into the update."""
        self.operations.append((number, operation))
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
                self.status = operation.status, operation.time
            case EndSearch():
                self.status = operation.status, operation.time
            case Reopen():
                self.tags.update(operation.tags)
                self.files.extend(operation.files)
                self.status = "RUNNING", None
            case Discard():
                self.discard = True


def merge(operations: Iterable[Numbered]) -> list[RunUpdate]:
    """Return an update for each run that ``operations`` touch, in the order first touched.

    The order inside a run is kept where it matters: the last value of a tag wins, metrics stay
    in order, a run starts before and ends after everything else. Runs do not depend on each
    other, but for the parent run, which is opened before any child.
    """
    updates: dict[str | None, RunUpdate] = {}
    for number, operation in operations:
        trial_id = getattr(operation, "trial_id", None)
        update = updates.setdefault(trial_id, RunUpdate(trial_id))
        if isinstance(operation, Discard):  # what was to be done to the run is not worth doing
            update = updates[trial_id] = RunUpdate(trial_id, update.operations)
        update.add(number, operation)
    return list(updates.values())

"""The results of ``tunebox evaluate`` as a table in the model's folder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from tunebox.errors import RecordsError, reading
from tunebox.records.table_file import read_table, write_table

TABLE_FILE = "evaluation.parquet"
_COLUMNS = ["perturbation", "strength_name", "strength", "accuracy", "loss"]


class EvaluationRow(Protocol):
    """Accuracy and loss on the test set under one perturbation."""

    @property
    def perturbation(self) -> str:
        """Its name; ``clean`` for unperturbed images."""

    @property
    def strength_name(self) -> str:
        """The setting of the noise that is its strength; ``none`` without one."""

    @property
    def strength(self) -> float:
        """How strong it is; 0 for ``clean``."""

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, in [0, 1]."""

    @property
    def loss(self) -> float | None:
        """Mean cross-entropy in nats; None where it means nothing."""


@dataclass(frozen=True)
class StoredRow:
    """A row that was read back; see `EvaluationRow`."""

    perturbation: str
    strength_name: str
    strength: float
    accuracy: float
    loss: float | None


def read_evaluation_table(folder: Path) -> list[StoredRow]:
    """Return the rows in the folder of a model.

    Raises:
        RecordsError: The model has not been evaluated, or the table is damaged.
    """
    path = folder / TABLE_FILE
    if not path.is_file():
        raise RecordsError(f"{path} is missing; run tunebox evaluate {folder}")
    with reading(path):
        table, _ = read_table(path)
        return [_stored(row) for row in table.select(_COLUMNS).to_pylist()]


def _stored(row: dict[str, Any]) -> StoredRow:
    names = (row["perturbation"], row["strength_name"])
    numbers = (row["strength"], row["accuracy"])
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{names} are no names")
    if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
        raise TypeError(f"{numbers} are no numbers")
    return StoredRow(**row)


def write_evaluation_table(folder: Path, rows: Sequence[EvaluationRow]) -> Path:
    """Write the table into the model's folder, in place of an earlier one, and return its path.

    Raises:
        RecordsError: The folder cannot be written.
    """
    path = folder / TABLE_FILE
    table = pa.table(
        {
            "perturbation": pa.array([row.perturbation for row in rows], pa.string()),
            "strength_name": pa.array([row.strength_name for row in rows], pa.string()),
            "strength": pa.array([row.strength for row in rows], pa.float64()),
            "accuracy": pa.array([row.accuracy for row in rows], pa.float64()),
            "loss": pa.array([row.loss for row in rows], pa.float64()),
        }
    )
    try:
        write_table(table, path)
    except OSError as error:
        raise RecordsError(f"{folder} cannot be written: {error.strerror or error}") from error
    return path

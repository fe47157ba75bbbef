"""The results of ``tunebox evaluate`` as a table in the model's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from tunebox.errors import RecordsError
from tunebox.records.table_file import write_table

TABLE_FILE = "evaluation.parquet"


class EvaluationRow(Protocol):
    """Accuracy and loss on the test part under one perturbation."""

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
    def loss(self) -> float:
        """Mean cross-entropy in nats."""


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

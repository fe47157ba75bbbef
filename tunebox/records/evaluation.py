"""What ``tunebox evaluate`` found: a table and a picture beside the model, and an MLflow run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tunebox.errors import RecordsError
from tunebox.records.files import replacing
from tunebox.records.mlflow_operations import LogMetrics
from tunebox.records.provenance import provenance_tags
from tunebox.records.single_run import write_single_run

TABLE_FILE, PICTURE_FILE = "evaluation.parquet", "evaluation.png"


class EvaluationRow(Protocol):
    """Accuracy and loss on the test part under one perturbation."""

    @property
    def perturbation(self) -> str:
        """Its name; ``clean`` is none."""

    @property
    def strength_name(self) -> str:
        """What the strength is, as in the settings of the noise; ``none`` without a scale."""

    @property
    def strength(self) -> float:
        """How strong it is; 0 for ``clean``."""

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, in [0, 1]."""

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""


def write_evaluation(folder: Path, rows: Sequence[EvaluationRow]) -> list[Path]:
    """Write the table and the picture into the model's folder, and return their paths.

    An earlier evaluation is replaced.

    Raises:
        RecordsError: The folder cannot be written.
    """
    table, picture = folder / TABLE_FILE, folder / PICTURE_FILE
    try:
        with replacing(table) as temporary:
            pq.write_table(_table(rows), temporary)
        _draw(rows, folder.name, picture)
    except OSError as error:
        raise RecordsError(f"{folder} cannot be written: {error.strerror or error}") from error
    return [table, picture]


def record_evaluation(
    folder: Path,
    rows: Sequence[EvaluationRow],
    *,
    tracking_uri: str,
    out: Path,
    seed: int,
    extra: Mapping[str, float] | None = None,
) -> str:
    """Write an evaluation as one MLflow run; return the run's id.

    Args:
        folder: The model folder, in which `write_evaluation` has left its files.
        rows: One for each perturbation.
        tracking_uri: Of MLflow's store.
        out: The folder of all searches.
        seed: Of the perturbations.
        extra: Further metrics, such as ``curvature/mean``.

    Raises:
        RecordsError: MLflow did not take it.
    """
    metrics = {f"test/{name}": value for name, value in (extra or {}).items()}
    for row in rows:
        path = f"test/{row.perturbation}"
        if row.strength_name != "none":
            path += f"/{row.strength:.6g}"
        metrics |= {f"{path}/accuracy": row.accuracy, f"{path}/loss": row.loss}
    return write_single_run(
        tracking_uri,
        out,
        name=f"evaluation-{folder.resolve().name}",
        tags={
            "tunebox.kind": "evaluation",
            "tunebox.trial_id": folder.resolve().name,
            **provenance_tags(),
        },
        params={"seed": seed, "part": "test"},
        metrics=[LogMetrics(None, metrics, 0, time.time())],
        paths=[folder / TABLE_FILE, folder / PICTURE_FILE],
    )


def _table(rows: Sequence[EvaluationRow]) -> pa.Table:
    return pa.table(
        {
            "perturbation": pa.array([row.perturbation for row in rows], pa.string()),
            "strength_name": pa.array([row.strength_name for row in rows], pa.string()),
            "strength": pa.array([row.strength for row in rows], pa.float64()),
            "accuracy": pa.array([row.accuracy for row in rows], pa.float64()),
            "loss": pa.array([row.loss for row in rows], pa.float64()),
        }
    )


def _draw(rows: Sequence[EvaluationRow], name: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    kinds = list(dict.fromkeys(row.perturbation for row in rows if row.strength_name != "none"))
    clean = next((row.accuracy for row in rows if row.perturbation == "clean"), None)
    num_columns = max(1, len(kinds))  # a panel each: their strengths have different units
    figure = Figure(figsize=(2.2 + 2.4 * num_columns, 3.6), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, num_columns, sharey=True, squeeze=False)[0]
    for panel, kind in zip(panels, kinds or ["clean"], strict=True):
        points = sorted((r.strength, r.accuracy) for r in rows if r.perturbation == kind)
        panel.plot([x for x, _ in points], [y for _, y in points], "o-", color="#0072B2")
        if clean is not None:
            panel.axhline(clean, color="#7F7F7F", linestyle="--", linewidth=1, label="clean")
        panel.set_title(kind.replace("_", " "), fontsize=9)
        panel.set_xlabel(next((r.strength_name for r in rows if r.perturbation == kind), ""))
        panel.grid(color="#E5E5E5", linewidth=0.8)
    panels[0].set_ylabel("accuracy on the test part")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    panels[0].set_ylim(0, 1.02)
    if clean is not None:
        panels[0].legend(fontsize=8)
    figure.suptitle(name.replace("$", r"\$"), fontsize=11, fontweight="bold")
    with replacing(path) as temporary:
        canvas.print_figure(str(temporary), format="png", dpi=150)

"""The MLflow run of ``tunebox train``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunebox.records.mlflow_operations import LogMetrics
from tunebox.records.provenance import provenance_tags
from tunebox.records.single_run import write_single_run
from tunebox.spec.space import Scalar
from tunebox.trials import Report


def record_training(
    folder: Path,
    reports: Sequence[Report],
    *,
    tracking_uri: str,
    out: Path,
    params: Mapping[str, Scalar],
    start_time: float,
    interrupted: bool = False,
) -> str:
    """Write a training and the model that came of it as one MLflow run; return the run's id.

    Args:
        folder: The model folder; its files become artifacts.
        reports: One for each epoch.
        tracking_uri: Of MLflow's store.
        out: The folder of all searches.
        params: The settings by path, see `flat_settings`.
        start_time: Seconds since 1970.
        interrupted: Whether the training ended before its last epoch.

    Raises:
        RecordsError: MLflow did not take it.
    """
    return write_single_run(
        tracking_uri,
        out,
        name=folder.name,
        tags={"tunebox.kind": "training", "tunebox.trial_id": folder.name, **provenance_tags()},
        params=params,
        metrics=[LogMetrics(None, r.metrics, r.epoch, r.time) for r in reports],
        paths=[folder],
        start_time=start_time,
        status="KILLED" if interrupted else "FINISHED",
    )

"""``tunebox sync``: what a search could not deliver to MLflow, delivered now."""

import os
from dataclasses import dataclass
from pathlib import Path

from tunebox.decisions.events import SearchEnded
from tunebox.decisions.trials import TrialLog
from tunebox.records.run_end import RunEnd, read_run_end
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.tracking.cursor import read_noted
from tunebox.tracking.projection import MlflowProjection
from tunebox.tracking.stores import public_uri, resolve_tracking_uri


@dataclass(frozen=True)
class SyncResult:
    """What became of what MLflow lacked."""

    tracking_uri: str  # without credentials
    num_delivered: int
    num_waiting: int
    error: str | None  # what MLflow said last, if it still lacks something or cannot be used
    refusals: list[str]  # a line for each update that MLflow will never take
    warnings: list[str]


def sync_search(
    folder: SearchFolder,
    spec: SearchSpec,
    log: TrialLog,
    end: RunEnd | SearchEnded | None,
    uri: str,
) -> SyncResult:
    """Deliver what MLflow lacks of a search; return when it is done or MLflow is away.

    Args:
        folder: The folder of a search that does not run; its lock is held.
        spec: Settings of the search.
        log: Its trials as the journal has them, those of the front with their weights.
        end: How it ended; None if it was killed.
        uri: Address of MLflow, as `search_tracking_uri` returns it.

    Raises:
        RecordsError: What was sent cannot be read.
    """
    projection = MlflowProjection(folder, spec, log, uri)
    start = min((trial.start_time for trial in log.trials.values()), default=_changed(folder))
    projection.start(start, is_running=False)
    status = "KILLED" if end is None or end.interrupted else "FINISHED"
    projection.end("FAILED" if end and end.trouble else status, _changed(folder))
    delivery, cursor = projection.delivery, projection.cursor
    delivery.deliver_now()
    return SyncResult(
        tracking_uri=public_uri(uri),
        num_delivered=delivery.num_delivered,
        num_waiting=delivery.num_waiting,
        error=delivery.error if delivery.num_waiting or not delivery.is_known else None,
        refusals=delivery.refusals,
        warnings=cursor.warnings,
    )


def search_tracking_uri(folder: SearchFolder, option: str | None) -> str:
    """Return the URI of the store that has the runs of a search.

    ``option`` wins; else it is the one noted in the folder, without user and password: where
    ``MLFLOW_TRACKING_URI`` names the same store, it is taken for those.

    Args:
        folder: The folder of the search; one that noted nothing is treated as a new one.
        option: What the user gave.

    Raises:
        RecordsError: The URI is none that MLflow can keep runs in, or where the runs are was noted
            in files that are damaged.
    """
    noted = read_noted(folder).get("tracking_uri")
    if noted is None and folder.mlflow.exists():  # and is damaged
        end = read_run_end(folder.run_end)
        noted = None if end is None else end.tracking_uri
    variable = os.environ.get("MLFLOW_TRACKING_URI", "")
    if option is not None or not noted or public_uri(variable) == noted:
        return resolve_tracking_uri(option, Path(folder.root.parent))
    return str(noted)


def _changed(folder: SearchFolder) -> float:
    """Return when something last happened in the search, in seconds since 1970."""
    return folder.journal.stat().st_mtime

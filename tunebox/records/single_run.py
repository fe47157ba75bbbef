"""One MLflow run that is no part of a search, written at once by a verb that waits for it."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.mlflow_operations import EndSearch, LogMetrics, Operation, StartSearch
from tunebox.records.outbox import Outbox
from tunebox.records.run_updates import merge
from tunebox.records.tracking import public_reason, public_uri, responsive_client
from tunebox.spec.space import Scalar


def write_single_run(
    tracking_uri: str,
    out: Path,
    *,
    name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Scalar],
    metrics: Sequence[LogMetrics],
    paths: Sequence[Path],
    start_time: float | None = None,
    status: str = "FINISHED",
) -> str:
    """Write a whole run into the experiment of all searches and return its id.

    Args:
        tracking_uri: Of MLflow's store.
        out: The folder of all searches; artifacts go there when the store is a database.
        name: Of the run.
        tags: Of the run.
        params: By path.
        metrics: Those of all steps, with ``trial_id`` None.
        paths: Files and folders to keep with it.
        start_time: Seconds since 1970; None: now.
        status: FINISHED, FAILED or KILLED.

    Raises:
        RecordsError: MLflow did not take it.
    """
    from mlflow.exceptions import MlflowException

    from tunebox.records.mlflow_writer import MlflowWriter

    now = time.time()
    operations: list[Operation] = [
        StartSearch(name, params, tags, tuple(paths), start_time or now),
        *metrics,
        EndSearch(status, now),
    ]
    outbox = Outbox(None)
    try:
        with responsive_client():
            writer = MlflowWriter(tracking_uri, out, outbox)
            writer.send(merge(enumerate(operations))[0])
    except (MlflowException, OSError) as error:
        reason = public_reason(error, tracking_uri)
        raise RecordsError(
            f"MLflow at {public_uri(tracking_uri)} did not take the run {name}: {reason}"
        ) from error
    return outbox.run_ids[None]

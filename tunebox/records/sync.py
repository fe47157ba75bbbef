"""``tunebox sync``: what a search could not deliver to MLflow, delivered now."""

import os
from dataclasses import dataclass
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.mlflow_delivery import Delivery
from tunebox.records.outbox import Outbox, noted_tracking_uri
from tunebox.records.search_folder import SearchFolder
from tunebox.records.tracking import public_uri, resolve_tracking_uri


@dataclass(frozen=True)
class SyncResult:
    """What became of the updates that waited."""

    tracking_uri: str  # without credentials
    num_delivered: int
    num_waiting: int
    error: str | None  # what MLflow said last, if any still wait
    refusals: list[str]  # a line for each update that MLflow will never take, those of before too
    warnings: list[str]


def sync_search(folder: SearchFolder, tracking_uri: str | None) -> SyncResult:
    """Deliver what waits for MLflow in ``folder``; return when it is done or MLflow is away.

    Args:
        folder: Of a search that does not run.
        tracking_uri: As for `search_tracking_uri`.

    Raises:
        RecordsError: Nothing was kept for MLflow, or the search still runs.
    """
    if not folder.outbox.is_file():
        raise RecordsError(f"{folder.outbox} is missing: nothing waits for MLflow")
    uri = search_tracking_uri(folder, tracking_uri)
    outbox = Outbox(folder.outbox, public_uri(uri))
    try:
        before, refused = outbox.num_waiting, len(outbox.refusals)
        delivery = Delivery(outbox, uri, folder.root.parent, folder.mlflow_ids)
        delivery.deliver_now()
        waiting, refusals = outbox.num_waiting, outbox.refusals
        delivered = before - waiting - (len(refusals) - refused)
        error = delivery.error if waiting else None
        return SyncResult(public_uri(uri), delivered, waiting, error, refusals, outbox.warnings)
    finally:
        outbox.close()


def search_tracking_uri(folder: SearchFolder, option: str | None) -> str:
    """Return the URI of the store that has the runs of a search.

    ``option`` wins; else it is the one noted in the folder, without user and password: where
    ``MLFLOW_TRACKING_URI`` names the same store, it is taken for those.

    Args:
        folder: Of the search; one that noted nothing is treated as a new one.
        option: What the user gave.

    Raises:
        RecordsError: The URI is none that MLflow can keep runs in.
    """
    noted = noted_tracking_uri(folder.outbox)
    variable = os.environ.get("MLFLOW_TRACKING_URI", "")
    if option is not None or not noted or public_uri(variable) == noted:
        return resolve_tracking_uri(option, Path(folder.root.parent))
    return noted

"""Updates of runs carried out on MLflow's store. Blocks, and raises what MLflow raises.

Imports MLflow, which takes seconds: imported by the thread that sends, and by verbs that wait.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tunebox.records import mlflow_values as values
from tunebox.records.files import write_text
from tunebox.records.mlflow_operations import (
    EndSearch,
    EndTrial,
    LogMetrics,
    LogTable,
    StartSearch,
    StartTrial,
)
from tunebox.records.run_updates import RunUpdate
from tunebox.records.tracking import get_or_create_experiment, public_uri
from tunebox.spec.space import Scalar

_PARENT_TAG = "mlflow.parentRunId"
_TABLES_TAG = "mlflow.loggedArtifacts"  # which files the page shows as tables
_Item = TypeVar("_Item")


class RunMissingError(LookupError):
    """An update of a run that was never opened."""


class MlflowWriter:
    """Sends updates to the store at ``uri``, and knows which run belongs to which trial.

    Sets nothing global in MLflow: a program that uses tunebox keeps its own tracking URI.
    """

    def __init__(self, uri: str, out: Path, ids_file: Path | None = None) -> None:
        # Both announce every step of the making of a database, into the display of the search.
        for name in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._uri = uri
        self._ids_file = ids_file
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment_id = get_or_create_experiment(self.client, uri, out)
        self.run_ids: dict[str | None, str] = {}  # None: the parent run
        self._attempted: set[str | None] = set()  # runs whose making may have failed half way

    def send(self, update: RunUpdate) -> None:
        """Carry out ``update``; what is done is taken out of it, also when the rest fails.

        Raises:
            RunMissingError: The run, or the parent run of a new one, was never opened.
        """
        if update.start is not None:
            self._open(update.trial_id, update.start)
            update.start = None
        run_id = self.run_ids.get(update.trial_id)
        if run_id is None:
            raise RunMissingError(f"no run for {update.trial_id or 'the search'}")
        self._send_values(run_id, update)
        while update.files:
            path = update.files[0]
            if path.is_dir():
                self.client.log_artifacts(run_id, str(path), path.name)
            elif path.is_file():  # a picture that could not be drawn is not there
                self.client.log_artifact(run_id, str(path))
            update.files.pop(0)
        while update.tables:
            self._send_table(run_id, update.tables[0])
            update.tables.pop(0)
        if update.end is not None:
            self._close(run_id, update.end)
            update.end = None

    def _open(self, trial_id: str | None, start: StartSearch | StartTrial) -> None:
        tags = {name: values.tag(value) for name, value in start.tags.items()}
        if trial_id is not None:
            parent = self.run_ids.get(None)
            if parent is None:
                raise RunMissingError("no run for the search")
            tags[_PARENT_TAG] = parent
        if trial_id not in self.run_ids:
            name = start.name if isinstance(start, StartSearch) else start.trial_id
            self.run_ids[trial_id] = self._find_or_create(trial_id, name, start.time, tags)
        if trial_id is None:
            self._write_ids()

    def _find_or_create(
        self, trial_id: str | None, name: str, time: float, tags: dict[str, str]
    ) -> str:
        milliseconds = round(time * 1000)
        if trial_id in self._attempted:
            # The call before may have got through with its answer lost: no second run then.
            found = self.client.search_runs(
                [self.experiment_id],
                f"attributes.run_name = '{name}' and attributes.start_time = {milliseconds}",
            )
            if found:
                return str(found[0].info.run_id)
        self._attempted.add(trial_id)
        run = self.client.create_run(
            self.experiment_id, start_time=milliseconds, tags=tags, run_name=name
        )
        self._attempted.discard(trial_id)
        return str(run.info.run_id)

    def _write_ids(self) -> None:
        if self._ids_file is not None:
            ids = {
                "tracking_uri": public_uri(self._uri),
                "experiment_id": self.experiment_id,
                "parent_run_id": self.run_ids[None],
            }
            write_text(self._ids_file, json.dumps(ids, indent=2) + "\n")

    def _send_values(self, run_id: str, update: RunUpdate) -> None:
        # MLflow takes a value that it has already, so a retry may send all of them again.
        log_values(
            self.client,
            run_id,
            metrics=[metric for operation in update.metrics for metric in _metrics(operation)],
            params=update.params,
            tags={name: value for name, value in update.tags.items() if value is not None},
        )
        for name in [name for name, value in update.tags.items() if value is None]:
            try:
                self.client.delete_tag(run_id, name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # set and taken away unsent
                    raise
        update.metrics.clear()
        update.params.clear()
        update.tags.clear()

    def _send_table(self, run_id: str, table: LogTable) -> None:
        # MLflow's own log_table adds to the rows that are there: a retry would double them.
        rows = list(zip(*table.columns.values(), strict=True))
        self.client.log_dict(run_id, {"columns": list(table.columns), "data": rows}, table.file)
        self.client.set_tag(
            run_id, _TABLES_TAG, json.dumps([{"path": table.file, "type": "table"}])
        )

    def _close(self, run_id: str, end: EndTrial | EndSearch) -> None:
        terminate(self.client, run_id, end.status, end.time)


def _metrics(operation: LogMetrics) -> list[Metric]:
    milliseconds = round(operation.time * 1000)
    return [
        Metric(values.key(name), float(value), milliseconds, operation.step)
        for name, value in operation.metrics.items()
    ]


def log_values(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: Sequence[Metric] = (),
    params: Mapping[str, Scalar] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Add metrics, parameters and tags to a run in as few calls as MLflow's limits allow."""
    all_params = [Param(values.key(k), values.param(v)) for k, v in (params or {}).items()]
    all_tags = [RunTag(values.key(k), values.tag(v)) for k, v in (tags or {}).items()]
    for metric_chunk, param_chunk, tag_chunk in zip_longest(
        _chunks(metrics, values.MAX_METRICS),
        _chunks(all_params, values.MAX_PARAMS),
        _chunks(all_tags, values.MAX_TAGS),
        fillvalue=(),
    ):
        client.log_batch(run_id, list(metric_chunk), list(param_chunk), list(tag_chunk))


def terminate(client: MlflowClient, run_id: str, status: str, time: float) -> None:
    """Close a run."""
    milliseconds = round(time * 1000)
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if store is not None:
        # set_terminated prints two lines for each run of a server, into the search's display
        store.update_run_info(run_id, RunStatus.from_string(status), milliseconds, None)
    else:
        client.set_terminated(run_id, status, milliseconds)


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

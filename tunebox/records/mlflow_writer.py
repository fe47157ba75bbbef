"""Updates of runs carried out on MLflow's store. Blocks, and raises what MLflow raises.

Imports MLflow, which takes seconds: imported by the thread that sends, and by verbs that wait.
"""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice, zip_longest
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tunebox.errors import RecordsError
from tunebox.records import mlflow_values as values
from tunebox.records.mlflow_ids import write_ids
from tunebox.records.mlflow_operations import LogMetrics, LogTable, StartSearch, StartTrial
from tunebox.records.outbox import Outbox
from tunebox.records.run_updates import RunUpdate
from tunebox.records.tracking import get_or_create_experiment, is_server, portable_uri, public_uri
from tunebox.spec.space import Scalar

_PARENT_TAG = "mlflow.parentRunId"
_TABLES_TAG = "mlflow.loggedArtifacts"  # which files the page shows as tables
_KEY_TAG = "tunebox.run_key"  # of no other run: the id of the search and of the trial
_CALL_SECONDS = 40.0  # after which a server has answered a call, or never will
_LOOK_PAUSE = 0.5
_Item = TypeVar("_Item")


class RunMissingError(LookupError):
    """An update of a run that was never opened."""


class MlflowWriter:
    """Sends updates to the store at ``uri``; which run belongs to which trial is in the outbox.

    An update may be sent again, whole, whatever became of it before: a run that may be there is
    looked up, files and tags are replaced, MLflow takes a metric of the same step, value and time
    once, and the steps that a run has from a process before this one are looked up. Sets nothing
    global in MLflow: a program that uses tunebox keeps its own tracking URI.
    """

    def __init__(self, uri: str, out: Path, outbox: Outbox, ids_file: Path | None = None) -> None:
        # Both announce every step of the making of a database, into the display of the search.
        for name in ("mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._uri = uri
        self._is_server = is_server(uri)
        self._out = out
        self._outbox = outbox
        self._ids_file = ids_file
        self._runs_of_before = set(outbox.run_ids.values())
        # the steps of their metrics by time, by run and key
        self._steps: dict[tuple[str, str], dict[int, int]] = {}
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment_id = get_or_create_experiment(self.client, uri, out)
        self._check_store()

    def send(self, update: RunUpdate) -> None:
        """Carry out ``update``.

        Raises:
            RunMissingError: The run, or the parent run of a new one, was never opened.
        """
        if update.discard:
            self._discard(update.trial_id)
        if update.start is not None:
            self._open(update.trial_id, update.start)
        run_id = self._outbox.run_ids.get(update.trial_id)
        if run_id is None:
            if update.discard:
                return  # and nothing came after it
            raise RunMissingError(f"no run for {update.trial_id or 'the search'}")
        self._send_values(run_id, update)
        for path in update.files:
            if path.is_dir():
                self.client.log_artifacts(run_id, str(path), path.name)
            elif path.is_file():  # a picture that could not be drawn is not there
                self.client.log_artifact(run_id, str(path))
        for table in update.tables:
            self._send_table(run_id, table)
        if update.status is not None:
            set_status(self.client, run_id, *update.status)

    def _check_store(self) -> None:
        """Raise RecordsError where the runs that were made are in another store."""
        parent = self._outbox.run_ids.get(None)
        try:
            if parent is not None:
                self.client.get_run(parent)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RecordsError(
                f"it has no run {parent}; the runs of this search were made in "
                f"{self._outbox.tracking_uri}, which --tracking-uri can name"
            ) from error

    def _open(self, trial_id: str | None, start: StartSearch | StartTrial) -> None:
        key = f"{self._outbox.search_id}/{trial_id or ''}"
        tags = {name: values.tag(value) for name, value in start.tags.items()} | {_KEY_TAG: key}
        if trial_id is not None:
            parent = self._outbox.run_ids.get(None)
            if parent is None:
                raise RunMissingError("no run for the search")
            tags[_PARENT_TAG] = parent
        if trial_id not in self._outbox.run_ids:
            run_id = self._look_up(trial_id, key)
            if run_id is None:
                run_id = self._create(trial_id, start, tags)
            self._outbox.created(trial_id, run_id)
        if trial_id is None:
            self._write_ids()

    def _create(
        self, trial_id: str | None, start: StartSearch | StartTrial, tags: dict[str, str]
    ) -> str:
        self._outbox.creating(trial_id)
        name = start.name if isinstance(start, StartSearch) else start.trial_id
        milliseconds = round(start.time * 1000)
        try:
            run = self.client.create_run(self.experiment_id, milliseconds, tags=tags, run_name=name)
        except Exception as error:
            if not _is_unanswered(error):
                self._outbox.call_ended(trial_id)
            raise
        return str(run.info.run_id)

    def _look_up(self, trial_id: str | None, key: str) -> str | None:
        """Return the run that a call has made whose answer was lost, if there was such a call.

        A server may still be busy with a call that nobody waited for to its end.
        """
        if not self._outbox.is_in_doubt(trial_id):
            return None
        while (run_id := self._find(key)) is None and self._is_server:
            if not self._outbox.may_be_coming(trial_id, _CALL_SECONDS):
                break
            time.sleep(_LOOK_PAUSE)
        if run_id is not None:
            self._runs_of_before.add(run_id)
        return run_id

    def _find(self, key: str) -> str | None:
        """Return the run with this key, which a call made whose answer was lost."""
        found = self.client.search_runs([self.experiment_id], f"tags.`{_KEY_TAG}` = '{key}'")
        return str(found[0].info.run_id) if found else None

    def _discard(self, trial_id: str | None) -> None:
        assert trial_id is not None
        run_id = self._outbox.run_ids.get(trial_id)
        if run_id is None:
            run_id = self._look_up(trial_id, f"{self._outbox.search_id}/{trial_id}")
        if run_id is not None and self.client.get_run(run_id).info.lifecycle_stage == "active":
            self.client.delete_run(run_id)
        self._outbox.gone(trial_id)

    def _write_ids(self) -> None:
        if self._ids_file is not None:
            ids = {
                "tracking_uri": portable_uri(public_uri(self._uri), self._out),
                "experiment_id": self.experiment_id,
                "parent_run_id": self._outbox.run_ids[None],
                "search_id": self._outbox.search_id,
            }
            with suppress(OSError):  # a full disk must not keep anything from MLflow
                write_ids(self._ids_file, ids)

    def _send_values(self, run_id: str, update: RunUpdate) -> None:
        log_values(
            self.client,
            run_id,
            metrics=self._new_metrics(run_id, update),
            params=update.params,
            tags={name: value for name, value in update.tags.items() if value is not None},
        )
        for name in [name for name, value in update.tags.items() if value is None]:
            try:
                self.client.delete_tag(run_id, name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # set and taken away unsent
                    raise

    def _new_metrics(self, run_id: str, update: RunUpdate) -> list[Metric]:
        """Return the metrics that the run does not have from a process before this one.

        Where a full disk kept something from outbox and journal, or the outbox was lost, epochs are
        told once more, at another time. The metrics of the search are news at any time.
        """
        metrics = [metric for operation in update.metrics for metric in _metrics(operation)]
        if run_id not in self._runs_of_before:
            return metrics
        if update.trial_id is None:
            return [self._behind_those_of_before(run_id, metric) for metric in metrics]
        return [m for m in metrics if m.step not in self._steps_of_before(run_id, m.key).values()]

    def _behind_those_of_before(self, run_id: str, metric: Metric) -> Metric:
        steps = self._steps_of_before(run_id, metric.key)
        if metric.timestamp not in steps:  # else it is sent again
            steps[metric.timestamp] = max([metric.step, *(step + 1 for step in steps.values())])
        return Metric(metric.key, metric.value, metric.timestamp, steps[metric.timestamp])

    def _steps_of_before(self, run_id: str, key: str) -> dict[int, int]:
        if (run_id, key) not in self._steps:
            history = self.client.get_metric_history(run_id, key)
            self._steps[run_id, key] = {metric.timestamp: metric.step for metric in history}
        return self._steps[run_id, key]

    def _send_table(self, run_id: str, table: LogTable) -> None:
        # MLflow's own log_table adds to the rows that are there: a retry would double them.
        rows = list(zip(*table.columns.values(), strict=True))
        self.client.log_dict(run_id, {"columns": list(table.columns), "data": rows}, table.file)
        self.client.set_tag(
            run_id, _TABLES_TAG, json.dumps([{"path": table.file, "type": "table"}])
        )


def _is_unanswered(error: Exception) -> bool:
    """Whether a call failed so that the server may have it and not be done with it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError | ConnectionResetError):
            return True
        cause = cause.__context__  # what urllib3 gives as the cause has none of its own
    return False


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


def set_status(client: MlflowClient, run_id: str, status: str, end_time: float | None) -> None:
    """Close a run, or open it again as RUNNING, with ``end_time`` None."""
    milliseconds = None if end_time is None else round(end_time * 1000)
    store = getattr(getattr(client, "_tracking_client", None), "store", None)
    if store is not None:
        # set_terminated prints two lines for each run of a server, into the search's display
        store.update_run_info(run_id, RunStatus.from_string(status), milliseconds, None)
    elif end_time is None:
        client.update_run(run_id, status)
    else:
        client.set_terminated(run_id, status, milliseconds)


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

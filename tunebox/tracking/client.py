"""Calls of MLflow's client for one store. They block, and raise what MLflow raises.

Imports MLflow, which takes seconds: imported by the thread that sends, and by verbs that wait.
Sets nothing global in MLflow: a program that uses tunebox keeps its own tracking URI.
"""

import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlflow.entities import Metric, Param, Run, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from tunebox.clock import now
from tunebox.decisions.trials import Report
from tunebox.errors import RecordsError, TuneboxError
from tunebox.spec.space import Scalar
from tunebox.tracking import values
from tunebox.tracking.cursor import Cursor, Key
from tunebox.tracking.rows import RowWriter
from tunebox.tracking.runs import ModelSource, RunState, SentRun, Update
from tunebox.tracking.sqlite_uri import sqlite_file
from tunebox.tracking.store_file import LostRunError, StoreFile, open_again
from tunebox.tracking.stores import get_or_create_experiment, is_server, public_uri
from tunebox.tracking.system_metrics import SYSTEM_PREFIX

_PARENT_TAG = "mlflow.parentRunId"
_KEY_TAG = "tunebox.run_key"  # of no other run: the id of the search and of the trial
_CALL_SECONDS = 40.0  # after which a server has answered a call, or never will
_LOOK_PAUSE = 0.5
_PAGE = 1000  # runs at once
_CALLS_AT_ONCE = 8  # of a server: most of the time of a call is the way to it and back
_Item = TypeVar("_Item")

if TYPE_CHECKING:
    from tunebox.tracking.logged_models import LoggedModels

# The store answered, and will answer the same the next time. Not among them: what a person can
# put right, such as a password.
_REFUSALS = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)
_REFUSED_FILES = (400, 404, 405, 413, 501)  # HTTP's codes for a file that is not taken


_TALKATIVE = (
    *("mlflow.store.db.utils", "mlflow.store.model_registry.abstract_store", "alembic"),
    *("mlflow.pyfunc", "mlflow.models.model", "mlflow.system_metrics"),
)


class Store:
    """The experiment of all searches in MLflow's store at ``uri``."""

    def __init__(self, uri: str, out: Path) -> None:
        """Open the experiment; made when it is not there.

        Args:
            uri: Address of the store.
            out: The folder of all searches; artifacts go there when the store is a database.
        """
        # Into the display of the search they write every step of the making of a database, and the
        # tracebacks of errors that are raised, too.
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        file = sqlite_file(uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            open_again(uri)
        self._file = StoreFile(uri)
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment_id = get_or_create_experiment(self.client, uri, out)

    @property
    def parent_id(self) -> str | None:
        """The run above those that are written, None if there is none."""
        return None

    @property
    def models(self) -> "LoggedModels":
        """The logged models of the experiment."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow warns of its own type hints
            from tunebox.tracking.logged_models import LoggedModels  # takes seconds

        return LoggedModels(self.client, self.experiment_id)

    @property
    def _store(self) -> Any:
        return getattr(getattr(self.client, "_tracking_client", None), "store", None)

    def create(self, wanted: RunState, extra_tags: Mapping[str, str]) -> SentRun:
        """Make a run with its tags, and nothing else yet."""
        all_tags = {**wanted.tags, **extra_tags}
        tags = {values.key(name): values.tag(tag) for name, tag in all_tags.items()}
        start = values.milliseconds(wanted.start_time)
        run = self.client.create_run(self.experiment_id, start, tags=tags, run_name=wanted.name)
        return SentRun(run.info.run_id, tags=wanted.tags)

    def send(self, run_id: str, update: Update) -> None:
        """Add ``update`` to a run; sending it again changes nothing."""
        if update.changes_model:  # before the tag, which says that it is there
            self._send_model(run_id, update.model)
        points = [metric for point in update.points for metric in _metrics(point)]
        tags = {name: tag for name, tag in update.tags.items() if tag is not None}
        self._log_batch(run_id, points, update.params, tags)
        for name in update.tags.keys() - tags.keys():
            try:
                self.client.delete_tag(run_id, name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # the answer was lost
                    raise
        for path in update.files:
            if path.is_dir():
                self.client.log_artifacts(run_id, str(path), path.name)
            elif path.is_file():
                self.client.log_artifact(run_id, str(path))
        for name, table in update.tables.items():
            # MLflow's own log_table adds to the rows that are there: a retry would double them
            self.client.log_dict(run_id, table, name)
        if update.status is not None:
            self._set_status(run_id, *update.status)

    def log_data(self, run_id: str, description: Mapping[str, Any]) -> None:
        """Make the images of a ``model.json`` the input of a run, as far as they are known."""
        from tunebox.tracking.datasets import dataset_input

        dataset = None if "data" not in description else dataset_input(description)
        if dataset is not None:
            self.client.log_inputs(run_id, datasets=[dataset])

    def _send_model(self, run_id: str, source: ModelSource | None) -> None:
        if source is None:
            self.models.delete(run_id)
        else:
            self.models.send(run_id, source, self.parent_id)

    def _log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric],
        params: Mapping[str, Scalar],
        tags: Mapping[str, str],
    ) -> None:
        """Add values in as few calls as MLflow's limits allow."""
        all_params = [Param(values.key(k), values.param(v)) for k, v in params.items()]
        all_tags = [RunTag(values.key(k), values.tag(v)) for k, v in tags.items()]
        for metric_chunk, param_chunk, tag_chunk in zip_longest(
            _chunks(metrics, values.MAX_METRICS),
            _chunks(all_params, values.MAX_PARAMS),
            _chunks(all_tags, values.MAX_TAGS),
            fillvalue=(),
        ):
            self.client.log_batch(run_id, list(metric_chunk), list(param_chunk), list(tag_chunk))

    def _set_status(self, run_id: str, status: str, end_time: float | None) -> None:
        """Close a run, or open it again as RUNNING."""
        end = None if end_time is None else values.milliseconds(end_time)
        if (store := self._store) is not None:
            # set_terminated prints two lines for each run of a server, into the search's display
            store.update_run_info(run_id, RunStatus.from_string(status), end, None)
        elif end is None:
            self.client.update_run(run_id, status)
        else:
            self.client.set_terminated(run_id, status, end)


class SearchStore(Store):
    """The runs of one search.

    Attributes:
        rows: Writes runs of trials into the database; None where the store is a server.
        calls_at_once: How many runs may be sent side by side.
        in_doubt: When a call was made that may still make a run, 0 if it has ended: such a run is
            looked up before it is made again.
    """

    def __init__(self, uri: str, out: Path, cursor: Cursor) -> None:
        """Open the experiment.

        Args:
            uri: Address of the store.
            out: The folder of all searches.
            cursor: Names the runs of the search.
        """
        super().__init__(uri, out)
        self._cursor = cursor
        self._uri = public_uri(uri)
        self._is_server = is_server(uri)
        self.calls_at_once = _CALLS_AT_ONCE if self._is_server else 1
        self.in_doubt = dict(cursor.creating)
        self.rows: RowWriter | None = None
        engine = getattr(self._store, "engine", None)
        if engine is not None:
            self.rows = RowWriter(engine, self.client.get_experiment(self.experiment_id))

    @property
    def parent_id(self) -> str | None:
        """The run of the search, None before it is made."""
        return self._cursor.run_id

    def runs(self) -> Iterator[tuple[Key, Run]]:
        """Return all runs of the search, those that were deleted last.

        A store that has lost the run of the search gets all again.

        Raises:
            RecordsError: They are in another store.
        """
        prefix = self._cursor.key_tag(None)
        if self._cursor.run_id is not None and not self._has_parent():
            self._start_again()
        deleted = []
        for run in self._search(f"tags.`{_KEY_TAG}` LIKE '{prefix}%'", ViewType.ALL):
            key = run.data.tags[_KEY_TAG].removeprefix(prefix) or None
            if run.info.lifecycle_stage == "active":
                yield key, run
            else:
                deleted.append((key, run))
        yield from deleted

    def _has_parent(self) -> bool:
        wanted = f"tags.`{_KEY_TAG}` = '{self._cursor.key_tag(None)}'"
        return next(self._search(wanted, ViewType.ALL), None) is not None

    def _start_again(self) -> None:
        """Forget what was sent to the store, which has lost it.

        Runs of trials that came before the loss was seen belong to a run that is gone.
        """
        if self._cursor.tracking_uri != self._uri:
            raise RecordsError(
                f"it has no run {self._cursor.run_id}; the runs of this search were made in "
                f"{self._cursor.tracking_uri}, which --tracking-uri can name"
            )
        for run in list(self._search(f"tags.`{_KEY_TAG}` LIKE '{self._cursor.key_tag(None)}%'")):
            self.delete(run.info.run_id)
        self._cursor.start_again()

    def find_run(self, key: Key) -> str | None:
        """Return the id of the run of a trial, or of the search; None if there is none."""
        run = next(self._search(f"tags.`{_KEY_TAG}` = '{self._cursor.key_tag(key)}'"), None)
        return None if run is None else str(run.info.run_id)

    def announce(self, keys: Sequence[Key]) -> None:
        """Note that runs are about to be made; a database has them at once, or never."""
        if keys and self._is_server:
            self._cursor.note_creating(keys)

    def extra_tags(self, key: Key, parent: SentRun | None) -> dict[str, str]:
        """Return the tags of a run that belong to no `RunState`."""
        tags = {_KEY_TAG: self._cursor.key_tag(key)}
        return tags if parent is None else {**tags, _PARENT_TAG: parent.run_id}

    def note_run(self, key: Key, run_id: str) -> None:
        """Note that a run is there."""
        self.in_doubt.pop(key, None)
        self._cursor.creating.pop(key, None)
        if key is None:
            self._cursor.run_id = run_id
            self._cursor.save()

    def open_run(self, key: Key, wanted: RunState, parent: SentRun | None) -> SentRun:
        """Find the run of a trial, or of the search, that a lost call made, or make it."""
        if key in self.in_doubt and (run := self._made_by_a_lost_call(key)) is not None:
            found = self.state_of(run, wanted)
            if found is not None:
                return found
            self.delete(run.info.run_id)
        try:
            return self.create(wanted, self.extra_tags(key, parent))
        except Exception as error:
            # a database is done with a call when it fails
            is_coming = self._is_server and is_unanswered(error)
            self.in_doubt[key] = now() if is_coming else 0.0
            if getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
                raise LostRunError("it has lost the experiment of all searches") from error
            raise

    def state_of(self, run: Run, wanted: RunState) -> SentRun | None:
        """Return what a run has; None if that is not of ``wanted``, so that it cannot become it."""
        found, has = run.data, SentRun(run.info.run_id, status=str(run.info.status))
        params = {values.key(name): values.param(value) for name, value in wanted.params.items()}
        is_other = any(params.get(name) != value for name, value in found.params.items())
        if is_other and not wanted.is_search:
            return None
        last = self._last_of_search(run) if wanted.is_search else self._last_of_trial(run, wanted)
        if last is None and _of_the_search(found.metrics):
            return None
        has_params = params.keys() <= found.params.keys()
        return replace(has, has_params=has_params, last=last, tags=dict(found.tags))

    def delete(self, run_id: str) -> None:
        """Delete a run, and let it be no run of the search any more."""
        self.client.set_tag(run_id, _KEY_TAG, f"{self._cursor.key_tag(None)}#{run_id}")
        self.client.delete_run(run_id)

    @property
    def is_lost(self) -> bool:
        """Whether its file was deleted, emptied or replaced since it was opened."""
        return self._file.is_lost

    def is_deleted(self, run_id: str) -> bool:
        """Whether somebody deleted a run.

        Raises:
            LostRunError: It is not even among the deleted ones.
        """
        try:
            return bool(self.client.get_run(run_id).info.lifecycle_stage != "active")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise LostRunError(f"it has lost the run {run_id}") from error

    def _last_of_search(self, run: Run) -> Report | None:
        metrics = _of_the_search(run.data.metrics)
        history = [self._history(run, name)[-1] for name in metrics]
        return Report(max(history)[0], metrics, max(history)[1] / 1000) if history else None

    def _last_of_trial(self, run: Run, wanted: RunState) -> Report | None:
        """Return the last point that a run has; None if it has others than those of ``wanted``."""
        points = {point.epoch: point for point in wanted.sent_points}
        if not run.data.metrics or not points:
            return None
        last = points[max(points)]
        is_over = wanted.status == run.info.status and wanted.status in ("FINISHED", "FAILED")
        expected = {values.key(name): value for name, value in last.metrics.items()}
        if is_over and expected.items() <= run.data.metrics.items():
            return last  # points are sent in their order, and the status behind them
        name = list(points[min(points)].metrics)[-1]  # the last that is sent of a step
        found = self._history(run, name)
        times = {epoch: values.milliseconds(point.time) for epoch, point in points.items()}
        is_known = found and all(times.get(epoch) == moment for epoch, moment in found)
        return points[found[-1][0]] if is_known else None

    def _history(self, run: Run, name: str) -> list[tuple[int, int]]:
        """Return steps and times, in milliseconds, of a metric."""
        history = self.client.get_metric_history(run.info.run_id, values.key(name))
        return sorted((metric.step, metric.timestamp) for metric in history)

    def _made_by_a_lost_call(self, key: Key) -> Run | None:
        """Return the run of a call whose answer was lost; a server may still be busy with it."""
        while True:
            found = self._search(f"tags.`{_KEY_TAG}` = '{self._cursor.key_tag(key)}'")
            is_over = abs(now() - self.in_doubt[key]) >= _CALL_SECONDS
            if (run := next(found, None)) is not None:
                return run
            if is_over or not self._is_server:
                return None
            time.sleep(_LOOK_PAUSE)

    def _search(self, wanted: str, view: int = ViewType.ACTIVE_ONLY) -> Iterator[Run]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], wanted, view, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


def is_refusal(error: Exception, uri: str) -> bool:
    """Whether the store, or our call, is at fault in a way that waiting does not mend."""
    if isinstance(error, MlflowException):
        # What stands before a server (a proxy that says 404 while it restarts) does not speak
        # for it: only an answer in MLflow's own form is a RestException.
        is_from_store = isinstance(error, RestException) or not uri.startswith("http")
        return is_from_store and error.error_code in _REFUSALS
    if isinstance(error, OSError):  # connections that fail are OSErrors, and so are these
        status = getattr(getattr(error, "response", None), "status_code", None)
        return status in _REFUSED_FILES
    # the last: weights that cannot be read, or a network that torch cannot write
    return isinstance(error, LookupError | ValueError | TypeError | ImportError | TuneboxError)


def is_unanswered(error: Exception) -> bool:
    """Whether a call failed so that the server may have it and not be done with it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError | ConnectionResetError):
            return True
        cause = cause.__context__  # what urllib3 gives as the cause has none of its own
    return False


def _of_the_search(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics without those of the machine, which nobody sends a second time."""
    prefix = SYSTEM_PREFIX
    return {name: value for name, value in metrics.items() if not name.startswith(prefix)}


def _metrics(point: Report) -> list[Metric]:
    time_ = values.milliseconds(point.time)
    return [
        Metric(values.key(name), float(value), time_, point.epoch)
        for name, value in point.metrics.items()
    ]


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

"""The MLflow runs of one search, written by a thread so that the search never waits for MLflow."""

import functools
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import RecordsError
from tunebox.records.mlflow_operations import (
    EndSearch,
    EndTrial,
    LogArtifacts,
    LogMetrics,
    LogTable,
    Operation,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.records.pace import Pace
from tunebox.records.run_updates import RunUpdate, merge
from tunebox.records.tracking import PARETO_TAG, check_reachable, public_uri
from tunebox.spec.space import Scalar
from tunebox.trials import Report, TrialState

if TYPE_CHECKING:
    from tunebox.records.mlflow_writer import MlflowWriter

_log = logging.getLogger(__name__)

_RUN_STATUS = {
    TrialState.FINISHED: "FINISHED",
    TrialState.STOPPED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.DIVERGED: "FAILED",
    TrialState.INTERRUPTED: "KILLED",
}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between tries
_SEND_PAUSE = 3.0  # seconds between rounds of sending: each call to a database costs CPU time
_SEND_SHARE = 0.2  # of the time, at most, may go into sending
_TRIES = 4  # of an update that MLflow refuses; while it is merely away, until the search ends

# The store answered, and will answer the same the next time.
_REFUSALS = (
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)


class MlflowRuns:
    """A parent run for a search, and a child run for each trial.

    Every call only notes what is to be done. The thread takes all that has been noted at once
    and sends it run by run; while MLflow is away it tries again and the notes wait.
    """

    def __init__(self, tracking_uri: str, out: Path, ids_file: Path | None = None) -> None:
        """Do nothing yet; the first call starts the thread.

        Args:
            tracking_uri: Of MLflow's store.
            out: The folder of all searches; artifacts go there when the store is a database.
            ids_file: Where to note which runs these are; None to note it nowhere.
        """
        self._uri = tracking_uri
        self._out = out
        self._ids_file = ids_file
        self._writer: MlflowWriter | None = None
        self._changed = threading.Condition()
        self._waiting: list[Operation] = []
        self._closing = False
        self._gave_up = False
        self._num_posted = self._num_delivered = 0
        self._first_error: str | None = None
        self._thread: threading.Thread | None = None
        self._search = ""
        self._front: frozenset[str] = frozenset()

    @property
    def public_uri(self) -> str:
        """Where the runs are, without credentials."""
        return public_uri(self._uri)

    @property
    def parent_run_id(self) -> str | None:
        """The run of the search; None until MLflow has made it."""
        return None if self._writer is None else self._writer.run_ids.get(None)

    @property
    def experiment_id(self) -> str | None:
        """The experiment of the runs; None until MLflow has answered."""
        return None if self._writer is None else self._writer.experiment_id

    @property
    def first_error(self) -> str | None:
        """What MLflow said when it first failed; None while all is well."""
        return self._first_error

    def run_id(self, trial_id: str) -> str | None:
        """Return the run of a trial; None until MLflow has made it."""
        return None if self._writer is None else self._writer.run_ids.get(trial_id)

    def start_search(
        self,
        name: str,
        params: Mapping[str, Scalar],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
    ) -> None:
        """Open the parent run; ``files`` are stored with it."""
        self._search = name
        all_tags = {"tunebox.kind": "search", "tunebox.search": name, **tags}
        self._post(StartSearch(name, dict(params), all_tags, tuple(files), time.time()))

    def start_trial(
        self, trial_id: str, params: Mapping[str, Scalar], start_time: float | None = None
    ) -> None:
        """Open the child run of a trial; its settings are its parameters."""
        tags = {
            "tunebox.kind": "trial",
            "tunebox.search": self._search,
            "tunebox.trial_id": trial_id,
            "tunebox.state": TrialState.RUNNING.value,
        }
        self._post(StartTrial(trial_id, dict(params), tags, start_time or time.time()))

    def log_report(self, trial_id: str, report: Report) -> None:
        """Add the metrics of one epoch; the step is the epoch."""
        self._post(LogMetrics(trial_id, report.metrics, report.epoch, report.time))

    def log_search_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add metrics to the parent run; ``step`` is the number of ended trials."""
        self._post(LogMetrics(None, dict(metrics), step, time.time()))

    def end_trial(
        self,
        trial_id: str,
        state: TrialState,
        tags: Mapping[str, str],
        end_time: float | None = None,
    ) -> None:
        """Close the child run of a trial."""
        all_tags = {"tunebox.state": state.value, **tags}
        self._post(EndTrial(trial_id, _RUN_STATUS[state], all_tags, end_time or time.time()))

    def set_front(self, trial_ids: Iterable[str]) -> None:
        """Tag the runs of these trials as the front, and take the tag from those that left it."""
        front = frozenset(trial_ids)
        for trial_id in sorted(front - self._front):
            self._post(SetTags(trial_id, {PARETO_TAG: "true"}))
        for trial_id in sorted(self._front - front):
            self._post(SetTags(trial_id, {PARETO_TAG: None}))
        self._front = front

    def log_artifacts(self, paths: Sequence[Path]) -> None:
        """Store files with the parent run; each is read when its turn comes."""
        self._post(LogArtifacts(tuple(paths)))

    def log_table(self, file: str, columns: Mapping[str, Sequence[Scalar]]) -> None:
        """Store a table with the parent run that MLflow's page shows as a table."""
        self._post(LogTable(file, {name: tuple(column) for name, column in columns.items()}))

    def end_search(self, status: str) -> None:
        """Close the parent run as FINISHED, FAILED or KILLED."""
        self._post(EndSearch(status, time.time()))

    def close(self, timeout: float) -> int:
        """Wait until all is sent, and return how many updates were not.

        Args:
            timeout: Seconds to wait without any progress.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            delivered, deadline = self._num_delivered, time.monotonic() + timeout
            while self._thread is not None and self._thread.is_alive():
                if self._num_delivered > delivered:
                    delivered, deadline = self._num_delivered, time.monotonic() + timeout
                if time.monotonic() >= deadline:
                    self._gave_up = True
                    break
                self._changed.wait(min(0.2, timeout))
            return self._num_posted - self._num_delivered

    def _post(self, operation: Operation) -> None:
        with self._changed:
            assert not self._closing
            self._num_posted += 1
            self._waiting.append(operation)
            if self._thread is None:
                # a daemon: a server that does not answer must not keep the program alive
                self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _run(self) -> None:
        pace = Pace(_SEND_PAUSE, _SEND_SHARE)
        while operations := self._take():
            pace.run(functools.partial(self._deliver_all, operations))
            with self._changed:  # what is noted meanwhile is merged: a short trial is two calls
                self._changed.wait_for(lambda: self._closing, pace.seconds_left)

    def _deliver_all(self, operations: list[Operation]) -> None:
        for update in merge(operations):
            if self._gave_up:
                return
            self._deliver(update)

    def _take(self) -> list[Operation]:
        """Return all that waits, at least one operation; nothing once all is done and closed."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            taken, self._waiting = self._waiting, []
            return taken

    def _deliver(self, update: RunUpdate) -> None:
        pause = _FIRST_PAUSE
        tries = 0
        while not self._gave_up:
            try:
                self._send(update)
            except Exception as error:  # whatever MLflow throws, the search goes on
                tries += 1
                self._note(error)
                if _is_refusal(error):
                    if tries >= _TRIES or isinstance(error, LookupError | RecordsError):
                        return
                elif self._closing and tries >= _TRIES:
                    self._gave_up = True  # it is away: the rest would fail in the same way
                with self._changed:
                    if not self._gave_up:
                        self._changed.wait(_FIRST_PAUSE if self._closing else pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                with self._changed:
                    self._num_delivered += update.num_operations
                    self._changed.notify_all()
                return

    def _send(self, update: RunUpdate) -> None:
        check_reachable(self._uri)
        if self._writer is None:
            from tunebox.records.mlflow_writer import MlflowWriter

            self._writer = MlflowWriter(self._uri, self._out, self._ids_file)
        self._writer.send(update)

    def _note(self, error: Exception) -> None:
        if self._first_error is None:
            self._first_error = (str(error).splitlines() or [type(error).__name__])[0]
            _log.warning("MLflow at %s: %s; trying again", self.public_uri, self._first_error)


def _is_refusal(error: Exception) -> bool:
    """Whether the store, or our call, is at fault in a way that waiting does not mend."""
    code = getattr(error, "error_code", None)
    if code is not None:
        return code in _REFUSALS
    return not isinstance(error, OSError)  # connections that fail are OSErrors

"""The MLflow runs of one search, written by a thread so that the search never waits for MLflow."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunebox.records.mlflow_delivery import Delivery
from tunebox.records.mlflow_ids import read_search_id
from tunebox.records.mlflow_operations import (
    Discard,
    EndSearch,
    EndTrial,
    LogArtifacts,
    LogMetrics,
    LogTable,
    Operation,
    Reopen,
    SetTags,
    StartSearch,
    StartTrial,
)
from tunebox.records.outbox import Outbox
from tunebox.records.tracking import CHECKPOINT_TAG, PARETO_TAG, STATE_TAG, public_uri
from tunebox.spec.space import Scalar
from tunebox.trials import Report, TrialRecord, TrialState

_RUN_STATUS = {
    TrialState.FINISHED: "FINISHED",
    TrialState.STOPPED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.DIVERGED: "FAILED",
    TrialState.INTERRUPTED: "KILLED",
}


class MlflowRuns:
    """A parent run for a search, and a child run for each trial.

    Every call only notes what is to be done, in the outbox; the thread brings it to MLflow,
    again and again while that is away. What the outbox has from an earlier process is delivered
    first, and what it was told then is not told again.
    """

    def __init__(
        self,
        tracking_uri: str,
        out: Path,
        ids_file: Path | None = None,
        outbox_file: Path | None = None,
    ) -> None:
        """Read the outbox; the first call of another method starts the thread.

        Args:
            tracking_uri: Of MLflow's store.
            out: The folder of all searches; artifacts go there when the store is a database.
            ids_file: Where to note which runs these are; None to note it nowhere.
            outbox_file: Where to keep what is on its way; None: in memory.

        Raises:
            RecordsError: The outbox cannot be used.
        """
        self._uri = tracking_uri
        search_id = None if ids_file is None else read_search_id(ids_file)
        self._outbox = Outbox(outbox_file, self.public_uri, search_id)
        self._delivery = Delivery(self._outbox, tracking_uri, out, ids_file)
        self._search = ""

    @property
    def public_uri(self) -> str:
        """Where the runs are, without credentials."""
        return public_uri(self._uri)

    @property
    def parent_run_id(self) -> str | None:
        """The run of the search; None until MLflow has made it."""
        return self._outbox.run_ids.get(None)

    @property
    def experiment_id(self) -> str | None:
        """The experiment of the runs; None until MLflow has answered."""
        return self._delivery.experiment_id

    @property
    def error(self) -> str | None:
        """What MLflow said when it last failed; None while all is well."""
        return self._delivery.error

    @property
    def num_waiting(self) -> int:
        """How many updates MLflow does not have yet."""
        return self._outbox.num_waiting

    @property
    def refusals(self) -> list[str]:
        """A line for each update that MLflow will never take."""
        return self._outbox.refusals

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the outbox."""
        return self._outbox.warnings

    def run_id(self, trial_id: str) -> str | None:
        """Return the run of a trial; None until MLflow has made it."""
        return self._outbox.run_ids.get(trial_id)

    def start_search(
        self,
        name: str,
        params: Mapping[str, Scalar],
        tags: Mapping[str, str],
        files: Sequence[Path] = (),
    ) -> None:
        """Open the parent run, or open it again as it was; ``files`` are stored with it."""
        self._search = name
        all_tags = {"tunebox.kind": "search", "tunebox.search": name, **tags}
        if self._outbox.told.started:
            self._post(Reopen(None, all_tags, tuple(files)))
        else:
            self._post(StartSearch(name, dict(params), all_tags, tuple(files), time.time()))

    def take_back(self, trials: Mapping[str, TrialRecord]) -> None:
        """Remove the runs that say more than is known of their trials, to be written again.

        A search that goes on from a damaged file may know less than it told MLflow.
        """
        for trial_id, told in list(self._outbox.told.trials.items()):
            trial = trials.get(trial_id)
            known = {report.epoch for report in trial.history} if trial else set()
            if trial is None or told.params != trial.settings or not told.steps <= known:
                self._post(Discard(trial_id))

    def start_trial(
        self, trial_id: str, params: Mapping[str, Scalar], start_time: float | None = None
    ) -> None:
        """Open the child run of a trial, or open it again; its settings are its parameters."""
        if self.told_state(trial_id) is not None:
            self._reopen(trial_id)
            return
        tags = {
            "tunebox.kind": "trial",
            "tunebox.search": self._search,
            "tunebox.trial_id": trial_id,
            STATE_TAG: TrialState.RUNNING.value,
        }
        self._post(StartTrial(trial_id, dict(params), tags, start_time or time.time()))

    def told_state(self, trial_id: str) -> TrialState | None:
        """Return in which state MLflow will have a trial; None if it was not told of it."""
        told = self._outbox.told.trials.get(trial_id)
        return None if told is None else TrialState(told.state)

    def log_report(self, trial_id: str, report: Report) -> None:
        """Add the metrics of one epoch, unless they were told before; the step is the epoch."""
        if report.epoch not in self._outbox.told.trials[trial_id].steps:
            self._reopen(trial_id)
            self._post(LogMetrics(trial_id, report.metrics, report.epoch, report.time))

    def log_search_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add metrics to the parent run, unless they are the last ones.

        Args:
            step: The number of ended trials; the next free one if it was told already, as a
                search that goes on has fewer ended trials than when it was interrupted.
            metrics: By name.
        """
        told = self._outbox.told
        if dict(metrics) != told.search_metrics:
            step = max(step, told.search_step + 1)
            self._post(LogMetrics(None, dict(metrics), step, time.time()))

    def end_trial(
        self,
        trial_id: str,
        state: TrialState,
        tags: Mapping[str, str],
        end_time: float | None = None,
    ) -> None:
        """Close the child run of a trial, unless it has none or it was told before."""
        if self.told_state(trial_id) not in (None, state):
            all_tags = {STATE_TAG: state.value, **tags}
            self._post(EndTrial(trial_id, _RUN_STATUS[state], all_tags, end_time or time.time()))

    def set_front(self, checkpoints: Mapping[str, str | None]) -> None:
        """Tag the runs of the front, and take the tags from those that left it.

        Args:
            checkpoints: The file with the weights of each trial on the front.
        """
        told = self._outbox.told.front
        changed = {t: c for t, c in checkpoints.items() if t not in told or told[t] != c}
        left = sorted(told.keys() - checkpoints.keys())
        for trial_id, checkpoint in sorted(changed.items()):
            self._post(SetTags(trial_id, {PARETO_TAG: "true", CHECKPOINT_TAG: checkpoint}))
        for trial_id in left:
            self._post(SetTags(trial_id, {PARETO_TAG: None, CHECKPOINT_TAG: None}))

    def log_artifacts(self, paths: Sequence[Path]) -> None:
        """Store files with the parent run; each is read when its turn comes."""
        for path in paths:  # each for itself: what is large may need several tries
            self._post(LogArtifacts((path,)))

    def log_table(self, file: str, columns: Mapping[str, Sequence[Scalar]]) -> None:
        """Store a table with the parent run that MLflow's page shows as a table."""
        self._post(LogTable(file, {name: tuple(column) for name, column in columns.items()}))

    def end_search(self, status: str) -> None:
        """Close the parent run as FINISHED, FAILED or KILLED."""
        self._post(EndSearch(status, time.time()))

    def close(self) -> int:
        """Wait for MLflow, not for long if it is away; return how many updates still wait."""
        self._delivery.close()
        self._outbox.close()
        return self._outbox.num_waiting

    def _reopen(self, trial_id: str) -> None:
        if self.told_state(trial_id) is not TrialState.RUNNING:
            self._post(Reopen(trial_id, {STATE_TAG: TrialState.RUNNING.value}))

    def _post(self, operation: Operation) -> None:
        self._outbox.add(operation)
        self._delivery.wake()

"""Ray's view of trials, brought into the log of the search and told to its observers."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tunebox.search.ray_adapters import NotPickled, trial_metrics
from tunebox.trials import (
    Report,
    SearchObserver,
    TrialLog,
    TrialRecord,
    TrialState,
    non_finite_metric,
)


class LogCallback(NotPickled, Callback):  # type: ignore[misc]
    """Writes what Ray's trials do into a `TrialLog`, in the driver's only thread."""

    def __init__(
        self, log: TrialLog, observers: Sequence[SearchObserver], root: Path, max_epochs: int
    ) -> None:
        self._log = log
        self._observers = observers
        self._root = root  # of the search's folder: checkpoints are named relative to it
        self._max_epochs = max_epochs

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial starts, or starts again after it lost its worker."""
        trial_id = trial.config["trial_id"]
        if trial_id in self._log.trials:
            return
        record = TrialRecord(trial_id, trial.config["values"], start_time=time.time())
        self._log.trials[trial_id] = record
        for observer in self._observers:
            observer.trial_started(record)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """A trial reported an epoch; one that it repeats after a restart is not news."""
        record = self._log.trials[trial.config["trial_id"]]
        if "failed" in result or result["epoch"] <= record.epochs:
            return
        # by the clock of the driver: Ray's own timestamp is in whole seconds
        report = Report(int(result["epoch"]), trial_metrics(result), time.time())
        record.history.append(report)
        record.node = result.get("hostname")
        for observer in self._observers:
            observer.trial_reported(record, report)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """A trial finished, failed, diverged, or was stopped at a rung."""
        record = self._log.trials[trial.config["trial_id"]]
        culprit = non_finite_metric(record.last_metrics)
        if "failed" in trial.last_result:
            record.state = TrialState.FAILED
            record.reason = " ".join(trial.last_result["failed"].split())
        elif culprit is not None:
            record.state = TrialState.DIVERGED
            value = record.last_metrics[culprit]
            record.reason = f"{culprit} was {value} at epoch {record.epochs}"
        elif record.epochs >= self._max_epochs:
            record.state = TrialState.FINISHED
        else:
            record.state = TrialState.STOPPED
        self._end(record, trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial lost its worker, or raised what may not happen again, for the second time."""
        trial_id = trial.config["trial_id"]
        self.on_trial_start(iteration, trials, trial)  # it may have failed before it started
        record = self._log.trials[trial_id]
        record.state = TrialState.FAILED
        record.reason = _reason(trial)
        self._end(record, trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Let observers draw."""
        for observer in self._observers:
            observer.tick()

    def _end(self, record: TrialRecord, trial: Trial) -> None:
        record.end_time = time.time()
        if trial.checkpoint is not None:
            record.checkpoint = str(Path(trial.checkpoint.path).relative_to(self._root))
        self._drop_checkpoints()
        for observer in self._observers:
            observer.trial_ended(record)

    def _drop_checkpoints(self) -> None:
        """Remove the weights of trials that ended and are not on the front."""
        front = {record.trial_id for record in self._log.front()}
        for record in self._log.trials.values():
            if record.checkpoint and record.end_time and record.trial_id not in front:
                shutil.rmtree(self._root / record.checkpoint, ignore_errors=True)
                record.checkpoint = None


def _reason(trial: Trial) -> str:
    # Ray's own get_error() looks into the storage, where the file may arrive only later.
    text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()][-1].strip()

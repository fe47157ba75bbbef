"""Ray's view of trials, brought into the log of the search and told to its observers."""

import re
import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from tunebox.checkpoints import checkpoint_of, keep, remove_checkpoints
from tunebox.errors import describe_os_error
from tunebox.search.ending import Ending, FailureLimits
from tunebox.search.past import Past
from tunebox.search.ray_adapters import NotPickled, trial_metrics
from tunebox.trials import (
    Report,
    SearchObserver,
    TrialRecord,
    TrialState,
    ended_state,
)

_IDS = re.compile(r"[0-9a-f]{8,}|\d+")  # of actors, nodes, processes; addresses
_LOST_WORKER = ("ActorDiedError", "ActorUnavailableError", "actor died", "NodeDiedError")


class LogCallback(NotPickled, Callback):  # type: ignore[misc]
    """Writes what Ray's trials do into a `TrialLog`, in the driver's only thread."""

    def __init__(
        self,
        past: Past,
        observer: SearchObserver,
        root: Path,
        max_epochs: int,
        limits: FailureLimits,
        ending: Ending,
    ) -> None:
        self._past = past
        self._log = past.log
        self._observer = observer
        self._root = root  # of the search's folder: checkpoints are named relative to it
        self._max_epochs = max_epochs
        self._limits = limits
        self._ending = ending
        self.notes: list[str] = []  # what a person may want to know of single trials

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial starts, goes on after a resume, or starts again after it lost its worker."""
        trial_id = trial.config["trial_id"]
        record = self._log.trials.get(trial_id)
        if record is None:
            record = TrialRecord(trial_id, trial.config["values"], start_time=time.time())
            self._log.trials[trial_id] = record
        elif record.state is TrialState.RUNNING:
            return
        record.state, record.end_time = TrialState.RUNNING, None
        self._observer.trial_started(record)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """A trial reported an epoch; one that it repeats after a restart is not news."""
        record = self._log.trials[trial.config["trial_id"]]
        for line in result.get("notes", []):
            self.note(line)
        if "unwritable" in result:
            host = result.get("hostname")
            self._ending.end_for(
                f"a checkpoint cannot be written on {host}: {result['unwritable']}"
            )
            return  # an epoch without its checkpoint, and what follows it, is for the resume
        if "failed" in result or "unfit" in result or result["epoch"] != record.epochs + 1:
            return
        # by the clock of the driver: Ray's own timestamp is in whole seconds
        report = Report(int(result["epoch"]), trial_metrics(result), time.time())
        record.history.append(report)
        record.node = result.get("hostname")
        self._observer.trial_reported(record, report)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        """A trial finished, failed, diverged, or was stopped at a rung."""
        record = self._log.trials[trial.config["trial_id"]]
        last = trial.last_result
        if "failed" not in last:
            if last.get("epoch") == record.epochs:  # else it ended at an epoch that is not recorded
                self._end_well(record)
            return
        record.state, record.reason = TrialState.FAILED, last["failed"]
        if last["traceback"] is not None:
            self._keep_traceback(record.trial_id, last["traceback"])
        self.end(record, last["failed_at"], last["traceback"])

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial lost its worker or its memory, and starts again."""
        self.note(f"trial {trial.config['trial_id']} starts again: {_reason(trial)}")

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A trial lost its worker or its memory too often, unless it waits to start again."""
        if trial.config["trial_id"] in self._past.waiting:
            return
        self.on_trial_start(iteration, trials, trial)  # it may have failed before it started
        record = self._log.trials[trial.config["trial_id"]]
        record.state, record.reason = TrialState.FAILED, _reason(trial)
        self.end(record, _IDS.sub("#", record.reason))

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        """Let observers draw."""
        self._observer.tick()

    def note(self, line: str) -> None:
        """Tell a line for the person who runs the search, now and at its end."""
        self.notes.append(line)
        self._observer.noted(line)

    def _end_well(self, record: TrialRecord) -> None:
        record.state, record.reason = ended_state(record, self._max_epochs)
        path = checkpoint_of(self._folder(record), record.epochs)
        record.checkpoint = None if path is None else str(path.relative_to(self._root))
        if path is None and any(trial is record for trial in self._log.front()):
            self.note(lost_weights(record, "no checkpoint"))
        self.end(record)

    def end(self, record: TrialRecord, failed_at: str = "", traceback: str | None = None) -> None:
        """Tell that a trial is in its last state, and drop the checkpoints that it leaves over.

        Args:
            record: Of the trial, with the checkpoint that it has if it is on the front.
            failed_at: If it failed, the same for failures of one cause.
            traceback: If it raised.
        """
        record.end_time = time.time()
        front = {trial.trial_id for trial in self._log.front()}
        left = [
            trial
            for trial in self._log.trials.values()
            if trial.checkpoint and trial.trial_id not in front
        ]
        for trial in left:
            trial.checkpoint = None
        self._observer.trial_ended(record)
        # only now: what happened up to here can be told again from the journal
        for trial in (*left, record):
            if trial.checkpoint is None:
                remove_checkpoints(self._folder(trial))
            else:
                keep(self._folder(trial), [Path(trial.checkpoint).name])
        trouble = self._limits.trial_ended(record, failed_at)
        if trouble is not None:
            self._ending.end_for(trouble, traceback)

    def _folder(self, record: TrialRecord) -> Path:
        return self._root / "checkpoints" / record.trial_id

    def _keep_traceback(self, trial_id: str, text: str) -> None:
        folder = self._root / "errors"
        try:
            folder.mkdir(exist_ok=True)
            (folder / f"{trial_id}.txt").write_text(text, encoding="utf-8")
        except OSError as error:
            self._ending.end_for(describe_os_error(error))


def lost_weights(record: TrialRecord, reason: str) -> str:
    """Return the line for a trial that is on the front without its weights."""
    return (
        f"trial {record.trial_id} is on the front and has lost its weights ({reason}); "
        "tunebox export writes its trial file, and tunebox train makes them anew"
    )


def _reason(trial: Trial) -> str:
    text = _last_failure(trial)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "Ray gave no reason"
    if any(sign in text for sign in _LOST_WORKER):
        return f"its worker process died: {' '.join(lines[1:])}"
    return lines[-1].removeprefix("tunebox.errors.NodeError: ")


def _last_failure(trial: Trial) -> str:
    """Return what Ray wrote of the last failure of a trial, empty where it wrote nothing.

    Ray's own get_error() looks into the storage, where the file may arrive only later.
    """
    if not trial.error_file:
        return ""
    try:
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text[max(0, text.rfind("Failure #")) :]

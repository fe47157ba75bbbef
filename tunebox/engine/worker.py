"""Trains one trial in one process, an epoch per step, from its newest checkpoint if it has one.

Torch is imported by the first step, not with this module. Ray drops an actor that is still
starting when another one gets free: with seconds of imports in its start, trials that last no
longer than that would run one at a time.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebox.decisions.trials import is_lost
from tunebox.engine.executor import TrialStart
from tunebox.errors import NodeError, RecordsError, TuneboxError, first_line, reading
from tunebox.parts.code import CodeFinder
from tunebox.records.checkpoints import (
    checkpoint_files,
    checkpoint_of,
    read_checkpoint,
    write_checkpoint,
)
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.trial_config import TrialConfig

if TYPE_CHECKING:
    import torch

    from tunebox.spec.trial_kinds import AnyTrialConfig
    from tunebox.training.run import Run

SECONDS_BETWEEN_CHECKPOINTS = 60.0
OUT_OF_MEMORY_SIGNS = ("allocate memory", "out of memory", "ALLOC_FAILED")  # in texts of errors

# raised by load_state_dict for a readable checkpoint that belongs to another trial


@dataclass(frozen=True)
class TrialTask:
    """Everything that a process needs to train a trial.

    Attributes:
        trial_id: The trial's number in the search.
        trial: The resolved settings, as `trial_kind` takes them.
        seed: Random seed of the training.
        max_epochs: Epochs of a full training.
        rungs: Epochs at which the trial may end or pause, and is checkpointed.
        checkpoints: Folder of its checkpoints.
        code: Folder with copies of code of the user's own.
        reported: The last epoch that the driver knows, 0 for none.
        needed: Metrics that each report must have.
        measures_test: Whether the test set is measured after the last epoch.
    """

    trial_id: str
    trial: dict[str, Any]
    seed: int
    max_epochs: int
    rungs: tuple[int, ...]
    checkpoints: str
    code: str
    reported: int
    needed: tuple[str, ...]
    measures_test: bool = False


def trial_task(
    spec: SearchSpec, start: TrialStart, rungs: tuple[int, ...], folder: SearchFolder
) -> TrialTask:
    """Return what a process needs to train ``start`` of the search ``spec``."""
    from tunebox.records.confirm_plan import read_plan  # which workers have no use for

    settings, _ = spec.space.resolve(start.settings)
    plan = read_plan(folder)
    return TrialTask(
        trial_id=start.trial_id,
        trial=settings,
        seed=spec.search.seed if start.seed is None else start.seed,
        max_epochs=spec.search.max_epochs,
        rungs=rungs,
        checkpoints=str(folder.checkpoints / start.trial_id),
        code=str(folder.code),
        reported=start.epochs,
        needed=(*spec.objectives, *spec.constraints),
        measures_test=plan is not None and plan.measures_test,
    )


class TrialWorker:
    """Trains one trial, an epoch a step.

    A trial starts from its newest checkpoint, if there is one. Reports up to that checkpoint that
    the driver does not have are repeated, one per step, before training continues.
    """

    def __init__(self, task: TrialTask, num_threads: int, use_gpu: bool) -> None:
        self._task = task
        self._num_threads = num_threads
        self._use_gpu = use_gpu
        self._trial: Run | None = None
        self._reports: list[dict[str, float]] = []  # of the epochs from 1
        self._unreported: list[dict[str, float]] = []  # the last of them, to be repeated
        self._notes: list[str] = []
        self._checkpoint_time = time.monotonic()

    @property
    def trial_config(self) -> AnyTrialConfig:
        """The settings of the trial."""
        from tunebox.spec.trial_kinds import trial_kind

        code = CodeFinder(copies=Path(self._task.code))
        return trial_kind(self._task.trial).config(self._task.trial, code)

    def step(self) -> dict[str, Any]:
        """Train and evaluate one epoch.

        Returns:
            ``{"epoch": .., "metrics": {..}}``, metrics by name, or ``{"over": True}`` for a trial
            that ended by itself after the epoch before, or ``{"failed": reason, "failed_at": place
            in the code, "traceback": text or None}``. ``notes`` are lines for the person who runs
            the search, ``unwritable`` says why a checkpoint could not be written.

        Raises:
            NodeError: The trial may succeed in another process or on another node.
        """
        try:
            return self._result()
        except NodeError:
            raise
        except Exception as error:
            if _is_of_the_process(error):  # the trial starts again in another process
                raise NodeError(f"{type(error).__name__}: {first_line(error)}") from error
            return _failure(error)  # another attempt would fail in the same way

    def _result(self) -> dict[str, Any]:
        from tunebox.training.run import RunIsOver

        trial = self._trial = self._trial or self._taken_up() or self._new_trial()
        num_repeated = len(self._unreported)
        if num_repeated:
            epoch = trial.epoch - num_repeated + 1
            result: dict[str, Any] = {"epoch": epoch, "metrics": self._unreported.pop(0)}
        else:
            try:
                result = self._trained_epoch(trial)
            except RunIsOver:
                result = self._end(trial)
        if self._notes:
            result["notes"] = list(self._notes)
            self._notes.clear()
        return result

    def _trained_epoch(self, trial: Run) -> dict[str, Any]:
        metrics = trial.run_epoch()
        if self._task.measures_test and trial.epoch == self._task.max_epochs:
            metrics |= self._test_metrics(trial)
        self._reports.append(metrics)
        result = {"epoch": trial.epoch, "metrics": metrics}
        return result | self._checkpoint(trial) if self._is_checkpoint_due(metrics) else result

    def _test_metrics(self, trial: Run) -> dict[str, float]:
        from tunebox.training.cross_validation import CrossValidatedRun, mean_metrics
        from tunebox.training.test_part import measure_test_part
        from tunebox.training.trial_run import TrialRun

        assert isinstance(trial, TrialRun | CrossValidatedRun)
        config = self.trial_config
        assert isinstance(config, TrialConfig)
        runs = trial.runs if isinstance(trial, CrossValidatedRun) else [trial]
        return mean_metrics([measure_test_part(run.model, config) for run in runs])

    def _end(self, trial: Run) -> dict[str, Any]:
        """Keep what a trial is that ended by itself, which may be between two rungs."""
        has_one = checkpoint_of(Path(self._task.checkpoints), trial.epoch) is not None
        return {"over": True, **({} if has_one else self._checkpoint(trial))}

    def _is_checkpoint_due(self, metrics: dict[str, float]) -> bool:
        assert self._trial is not None
        if is_lost(metrics):
            return False
        may_end_here = self._trial.epoch in self._task.rungs
        late = time.monotonic() - self._checkpoint_time > SECONDS_BETWEEN_CHECKPOINTS
        return may_end_here or late

    def _checkpoint(self, trial: Run) -> dict[str, Any]:
        """Write the complete state of the trial, so that training can continue bit for bit."""
        self._checkpoint_time = time.monotonic()
        # the state has the same weight tensors: torch writes each tensor once
        content = {**trial.weights(), "state": trial.state_dict(), "reports": self._reports}
        folder = Path(self._task.checkpoints)
        try:
            write_checkpoint(folder, trial.epoch, content)
        except OSError as error:
            return {"unwritable": f"{folder}: {error.strerror or error}"}
        return {}

    def _taken_up(self) -> Run | None:
        for path in checkpoint_files(Path(self._task.checkpoints)):
            trial = self._new_trial()
            try:
                with reading(path):
                    content = read_checkpoint(path)
                    trial.load_state_dict(content["state"])
                    reports = [dict(metrics) for metrics in content["reports"]]
                    if len(reports) != trial.epoch:
                        raise RecordsError(f"{len(reports)} reports of {trial.epoch} epochs")
            except RecordsError as error:
                reason = str(error)
                self._notes.append(f"trial {self._task.trial_id}: {path.name} is skipped: {reason}")
            else:
                self._reports = reports
                self._unreported = reports[self._task.reported :]
                return trial
        return None

    def _new_trial(self) -> Run:
        import torch

        from tunebox.training.make_run import make_run

        torch.set_num_threads(self._num_threads)
        return make_run(
            self.trial_config,
            seed=self._task.seed,
            max_epochs=self._task.max_epochs,
            device=self._device(),
            rungs=self._task.rungs,
            needed=self._task.needed,
        )

    def _device(self) -> torch.device:
        import torch

        return torch.device("cuda" if self._use_gpu and torch.cuda.is_available() else "cpu")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether ``error`` reports a lack of CPU or GPU memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # the CPU allocator and GPU libraries have no exception class of their own
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY_SIGNS)


def _is_of_the_process(error: Exception) -> bool:
    """Return whether the trial may succeed in another process: out of memory, or a GPU error.

    After most errors of CUDA every later call in the same process fails too.
    """
    is_of_the_gpu = any(sign in str(error) for sign in ("CUDA error", "cuDNN error"))
    return is_out_of_memory(error) or (isinstance(error, RuntimeError) and is_of_the_gpu)


def _failure(error: Exception) -> dict[str, Any]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    place = traceback.extract_tb(error.__traceback__)[-1]
    failed_at = f"{type(error).__name__} at {place.filename}:{place.lineno}"
    if isinstance(error, TuneboxError):  # the message explains the error without a traceback
        return {"failed": " ".join(lines), "failed_at": failed_at, "traceback": None}
    text = "".join(traceback.format_exception(error))
    reason = ": ".join([type(error).__name__, *lines[:1]])
    return {"failed": reason, "failed_at": failed_at, "traceback": text}

"""One trial as Ray runs it: an epoch a step, on an actor that is used again.

Torch is imported by the first step, not with this module. Ray drops an actor that is still
starting when another one gets free: with seconds of imports in its start, trials that last no
longer than that would run one at a time.
"""

from __future__ import annotations

import functools
import socket
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from tunebox.checkpoints import checkpoint_files, read_checkpoint, write_checkpoint
from tunebox.errors import DataError, NodeError, RecordsError, TuneboxError, first_line
from tunebox.search.memory import is_out_of_memory
from tunebox.search.node_probe import storage_trouble
from tunebox.trials import non_finite_metric

if TYPE_CHECKING:
    import torch

    from tunebox.data.parts import TrainingParts
    from tunebox.data.settings import DataSettings
    from tunebox.search.marked_folder import MarkedFolder
    from tunebox.spec.trial_config import TrialConfig
    from tunebox.training.trial_run import TrialRun

SECONDS_BETWEEN_CHECKPOINTS = 60.0

# what a checkpoint that can be read, but is not of this trial, makes load_state_dict raise
_UNFITTING = (RecordsError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains one trial; Ray calls ``step`` until the scheduler says stop.

    A result is ``{"epoch": .., "metrics": {..}}``, metrics as in `tunebox.training.metrics`, or
    ``{"failed": reason, "failed_at": place in the code, "traceback": text or None}``. ``notes``
    are lines for the person who runs the search, ``unwritable`` says why a checkpoint could not
    be written. A result never says ``done``: Ray would not show it to the scheduler. On a node
    that lacks the search's folder or its data the result is ``{"unfit": reason, "node_id": ..}``,
    and the next step raises, so that the trial starts again on another node.

    A trial that begins takes up its newest checkpoint, if there is one. What it reported up to
    there and the driver does not know (``reported`` in the config is the last epoch it knows) is
    reported again, an epoch a step, before the training goes on.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take the config that `DecisionSearcher.suggest` made."""
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial; images and CUDA context stay."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and evaluate one epoch."""
        if self._unfit is not None:
            raise self._unfit
        try:
            return self._result()
        except NodeError as error:
            return self._give_up(error)
        except Exception as error:
            if _is_of_the_process(error):  # let it end: the trial starts again in another one
                raise NodeError(f"{type(error).__name__}: {first_line(error)}") from error
            return _failure(error)  # another try would end in the same way

    def _result(self) -> dict[str, Any]:
        trial = self._begun_trial()
        num_repeated = len(self._unreported)
        if num_repeated:
            epoch = trial.epoch - num_repeated + 1
            result: dict[str, Any] = {"epoch": epoch, "metrics": self._unreported.pop(0)}
        else:
            metrics = trial.run_epoch()
            self._reports.append(metrics)
            result = {"epoch": trial.epoch, "metrics": metrics}
            if self._is_checkpoint_due(metrics):
                result |= self._checkpoint(trial)
        if self._notes:
            result["notes"] = list(self._notes)
            self._notes.clear()
        return result

    def _is_checkpoint_due(self, metrics: dict[str, float]) -> bool:
        assert self._trial is not None
        if non_finite_metric(metrics) is not None:
            return False
        may_end_here = self._trial.epoch in self._config["rungs"]
        late = time.monotonic() - self._checkpoint_time > SECONDS_BETWEEN_CHECKPOINTS
        return may_end_here or late

    def _checkpoint(self, trial: TrialRun) -> dict[str, Any]:
        """Write all that the trial is, so that it can go on as if nothing had happened."""
        self._checkpoint_time = time.monotonic()
        # the weights' tensors are in the state too: torch writes each of them once
        content = {**trial.weights(), "state": trial.state_dict(), "reports": self._reports}
        folder = Path(self._config["checkpoints"])
        try:
            write_checkpoint(folder, trial.epoch, content)
        except OSError as error:
            return {"unwritable": f"{folder}: {error.strerror or error}"}
        return {}

    def _begin(self, config: dict[str, Any]) -> None:
        self._config = config
        self._unfit: NodeError | None = None  # why trials cannot run on this node
        self._trial: TrialRun | None = None
        self._reports: list[dict[str, float]] = []  # of the epochs from 1
        self._unreported: list[dict[str, float]] = []  # the last of them, still to be reported
        self._notes: list[str] = []
        self._checkpoint_time = time.monotonic()

    def _give_up(self, error: NodeError) -> dict[str, Any]:
        self._unfit = error
        return {"unfit": str(error), "node_id": ray.get_runtime_context().get_node_id()}

    def _begun_trial(self) -> TrialRun:
        if self._trial is None:
            if "mark" in self._config:  # the scheduler's: the driver may be on another node
                _check_node(self._config["mark"], self._trial_config().data)
            self._trial = self._taken_up() or self._new_trial()
        return self._trial

    def _taken_up(self) -> TrialRun | None:
        for path in checkpoint_files(Path(self._config["checkpoints"])):
            trial = self._new_trial()
            try:
                content = read_checkpoint(path)
                trial.load_state_dict(content["state"])
                reports = [dict(metrics) for metrics in content["reports"]]
                if len(reports) != trial.epoch:
                    raise RecordsError(f"{len(reports)} reports of {trial.epoch} epochs")
            except _UNFITTING as error:
                reason = first_line(error)
                trial_id = self._config["trial_id"]
                self._notes.append(f"trial {trial_id}: {path.name} is left out: {reason}")
            else:
                self._reports = reports
                self._unreported = reports[self._config["reported"] :]
                return trial
        return None

    def _trial_config(self) -> TrialConfig:
        from tunebox.spec.trial_config import TrialConfig

        return TrialConfig.model_validate(self._config["trial"])

    def _new_trial(self) -> TrialRun:
        import torch

        from tunebox.training.trial_run import TrialRun

        cpus = self.trial_resources.required_resources.get("CPU", 1)
        torch.set_num_threads(max(1, int(cpus)))
        trial_config = self._trial_config()
        return TrialRun(
            trial_config,
            seed=int(self._config["seed"]),
            max_epochs=int(self._config["max_epochs"]),
            device=self._device(),
            parts=_training_parts(trial_config.data),
        )

    def _device(self) -> torch.device:
        import torch

        asked = self.trial_resources.required_resources.get("GPU", 0)
        return torch.device("cuda" if asked > 0 and torch.cuda.is_available() else "cpu")


def _is_of_the_process(error: Exception) -> bool:
    """Whether the trial may do well in another process: out of memory, or its GPU failed it.

    After most errors of CUDA every later call in the same process fails too.
    """
    is_of_the_gpu = any(sign in str(error) for sign in ("CUDA error", "cuDNN error"))
    return is_out_of_memory(error) or (isinstance(error, RuntimeError) and is_of_the_gpu)


def _failure(error: Exception) -> dict[str, Any]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    place = traceback.extract_tb(error.__traceback__)[-1]
    failed_at = f"{type(error).__name__} at {place.filename}:{place.lineno}"
    if isinstance(error, TuneboxError):  # says all that there is to say
        return {"failed": " ".join(lines), "failed_at": failed_at, "traceback": None}
    text = "".join(traceback.format_exception(error))
    reason = ": ".join([type(error).__name__, *lines[:1]])
    return {"failed": reason, "failed_at": failed_at, "traceback": text}


@functools.cache
def _check_node(mark: MarkedFolder, data: DataSettings) -> None:
    """Raise NodeError if this node, which may have joined a moment ago, cannot run the search."""
    from tunebox.data.check import prepare_data

    trouble = storage_trouble(mark.folder, mark.token)
    if trouble is None:
        try:
            prepare_data(data)
        except DataError as error:
            trouble = str(error)
    else:
        trouble = f"it does not share the folder of the search: {trouble}"
    if trouble is not None:
        raise NodeError(f"node {socket.gethostname()} is left out: {trouble}")


@functools.lru_cache(maxsize=1)
def _training_parts(settings: DataSettings) -> TrainingParts:
    """Load the images once for all trials of this actor; settings are frozen and so hashable."""
    from tunebox.data.parts import load_training_parts

    return load_training_parts(settings)

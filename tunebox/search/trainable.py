"""One trial as Ray runs it: an epoch a step, on an actor that is used again."""

import functools
import time
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune.result import SHOULD_CHECKPOINT

from tunebox.data.parts import TrainingParts, load_training_parts
from tunebox.data.settings import DataSettings
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.trial_run import TrialRun
from tunebox.trials import non_finite_metric

STATE_FILE = "state.pt"
SECONDS_BETWEEN_CHECKPOINTS = 60.0


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains one trial; Ray calls ``step`` until it or the scheduler says stop.

    A result is ``{"epoch": .., "metrics": {..}, "done": ..}``, metrics as in
    `tunebox.training.metrics`.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Build the trial from the config that `DecisionSearcher.suggest` made."""
        cpus = self.trial_resources.required_resources.get("CPU", 1)
        torch.set_num_threads(max(1, int(cpus)))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial; images and CUDA context stay."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and evaluate one epoch."""
        metrics = self._trial.run_epoch()
        diverged = non_finite_metric(metrics) is not None
        result = {
            "epoch": self._trial.epoch,
            "metrics": metrics,
            "done": diverged or self._trial.epoch >= self._max_epochs,
        }
        if time.monotonic() - self._checkpoint_time > SECONDS_BETWEEN_CHECKPOINTS:
            result[SHOULD_CHECKPOINT] = True
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write all that the trial is, so that it can go on as if nothing had happened."""
        self._checkpoint_time = time.monotonic()
        # the weights' tensors are in the state too: torch writes each of them once
        state = {"format": 1, **self._trial.weights(), "state": self._trial.state_dict()}
        torch.save(state, Path(checkpoint_dir) / STATE_FILE)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Take up the trial where the checkpoint in this folder left it."""
        state = torch.load(
            Path(checkpoint) / STATE_FILE, map_location=self._device, weights_only=True
        )
        self._trial.load_state_dict(state["state"])

    def _begin(self, config: dict[str, Any]) -> None:
        trial_config = TrialConfig.model_validate(config["trial"])
        self._device = torch.device("cuda" if self._has_gpu() else "cpu")
        self._max_epochs = int(config["max_epochs"])
        self._checkpoint_time = time.monotonic()
        self._trial = TrialRun(
            trial_config,
            seed=int(config["seed"]),
            max_epochs=self._max_epochs,
            device=self._device,
            parts=_training_parts(trial_config.data),
        )

    def _has_gpu(self) -> bool:
        asked = self.trial_resources.required_resources.get("GPU", 0)
        return bool(asked > 0 and torch.cuda.is_available())


@functools.lru_cache(maxsize=1)
def _training_parts(settings: DataSettings) -> TrainingParts:
    """Load the images once for all trials of this actor; settings are frozen and so hashable."""
    return load_training_parts(settings)

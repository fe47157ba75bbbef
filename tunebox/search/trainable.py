"""One trial as Ray runs it: an epoch a step, on an actor that is used again.

Torch is imported by the first step, not with this module. Ray drops an actor that is still
starting when another one gets free: with seconds of imports in its start, trials that last no
longer than that would run one at a time.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.result import SHOULD_CHECKPOINT

if TYPE_CHECKING:
    import torch

    from tunebox.data.parts import TrainingParts
    from tunebox.data.settings import DataSettings
    from tunebox.training.trial_run import TrialRun

STATE_FILE = "state.pt"
SECONDS_BETWEEN_CHECKPOINTS = 60.0


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains one trial; Ray calls ``step`` until the scheduler says stop.

    A result is ``{"epoch": .., "metrics": {..}}``, metrics as in `tunebox.training.metrics`, or
    ``{"failed": reason}``. It never says ``done``: Ray would not show it to the scheduler.
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
        try:
            trial = self._built_trial()
            metrics = trial.run_epoch()
        # Settings that do not fit the data: another try would end in the same way. Anything else,
        # such as a GPU without memory, ends the actor, and Ray tries once more.
        except ValueError as error:
            return {"failed": str(error)}
        result: dict[str, Any] = {"epoch": trial.epoch, "metrics": metrics}
        if time.monotonic() - self._checkpoint_time > SECONDS_BETWEEN_CHECKPOINTS:
            result[SHOULD_CHECKPOINT] = True
        return result

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write all that the trial is, so that it can go on as if nothing had happened."""
        import torch

        self._checkpoint_time = time.monotonic()
        if self._trial is None:
            return  # it failed before there was anything to write
        trial = self._trial
        # the weights' tensors are in the state too: torch writes each of them once
        state = {"format": 1, **trial.weights(), "state": trial.state_dict()}
        torch.save(state, Path(checkpoint_dir) / STATE_FILE)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Take up the trial where the checkpoint in this folder left it."""
        import torch

        state = torch.load(
            Path(checkpoint) / STATE_FILE, map_location=self._device(), weights_only=True
        )
        self._built_trial().load_state_dict(state["state"])

    def _begin(self, config: dict[str, Any]) -> None:
        self._config = config
        self._trial: TrialRun | None = None
        self._checkpoint_time = time.monotonic()

    def _built_trial(self) -> TrialRun:
        if self._trial is None:
            import torch

            from tunebox.spec.trial_config import TrialConfig
            from tunebox.training.trial_run import TrialRun

            cpus = self.trial_resources.required_resources.get("CPU", 1)
            torch.set_num_threads(max(1, int(cpus)))
            trial_config = TrialConfig.model_validate(self._config["trial"])
            self._trial = TrialRun(
                trial_config,
                seed=int(self._config["seed"]),
                max_epochs=int(self._config["max_epochs"]),
                device=self._device(),
                parts=_training_parts(trial_config.data),
            )
        return self._trial

    def _device(self) -> torch.device:
        import torch

        asked = self.trial_resources.required_resources.get("GPU", 0)
        return torch.device("cuda" if asked > 0 and torch.cuda.is_available() else "cpu")


@functools.lru_cache(maxsize=1)
def _training_parts(settings: DataSettings) -> TrainingParts:
    """Load the images once for all trials of this actor; settings are frozen and so hashable."""
    from tunebox.data.parts import load_training_parts

    return load_training_parts(settings)

"""Trainings of which only the end counts: no epoch is measured on the whole validation set."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace

import torch

from tunebox.data.parts import OpenedParts, open_test_part, open_training_parts
from tunebox.data.settings import DataSettings
from tunebox.data.stored_set import AnyImageSet
from tunebox.decisions.trials import is_lost
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.evaluate import Evaluator, evenly
from tunebox.training.trial_run import TrialRun

OBJECTIVES = ("clean_accuracy", "noisy_accuracy")
_FEW_IMAGES = 16  # of the validation set, measured after every epoch


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    Attributes:
        run: The trial with its model.
        lost: Whether it diverged or collapsed, after which nothing was trained.
        seconds: Of the CPU; of the clock on a GPU.
    """

    run: TrialRun
    lost: bool
    seconds: float


def train(config: TrialConfig, *, seed: int, max_epochs: int) -> Trained:
    """Train a trial to its end, or until it is lost."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    parts = _training_parts(config.data)
    few = replace(parts, validation=evenly(parts.validation, _FEW_IMAGES))
    run = TrialRun(config, seed=seed, max_epochs=max_epochs, device=device, parts=few)
    metrics: dict[str, float] = {}
    while run.epoch < max_epochs and not is_lost(metrics):
        metrics = run.run_epoch()
    return Trained(run, is_lost(metrics), clock() - start)


def on_validation(trained: Trained, config: TrialConfig) -> dict[str, float]:
    """Return the objectives on the validation set."""
    return _objectives(trained, _training_parts(config.data).validation, config)


def on_test(trained: Trained, config: TrialConfig, num_images: int | None) -> dict[str, float]:
    """Return the objectives on ``num_images`` of the test set, None for all of them."""
    return _objectives(trained, test_images(config.data, num_images), config)


def score(trained: Trained, accuracies: dict[str, float]) -> float:
    """Return the hypervolume that the model dominates alone; 0 for a training that was lost."""
    clean, noisy = (accuracies[name] for name in OBJECTIVES)
    return 0.0 if trained.lost else clean * noisy


def test_images(settings: DataSettings, count: int | None) -> AnyImageSet:
    """Return ``count`` images of the test set, taken evenly; None for all."""
    images = _test_part(settings)
    return images if count is None else evenly(images, count)


def _objectives(trained: Trained, images: AnyImageSet, config: TrialConfig) -> dict[str, float]:
    model = trained.run.model
    measured = Evaluator(images.to(model.mean.device), config.evaluation)(model)
    return {name: measured[name] for name in OBJECTIVES}


@functools.lru_cache(maxsize=1)
def _training_parts(settings: DataSettings) -> OpenedParts:
    return open_training_parts(settings)


@functools.lru_cache(maxsize=1)
def _test_part(settings: DataSettings) -> AnyImageSet:
    return open_test_part(settings)

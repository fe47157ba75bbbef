"""Makes the run of a trial of either kind."""

from __future__ import annotations

import functools
from collections.abc import Collection

import torch

from tunebox.data.parts import OpenedParts, open_folds, open_training_parts
from tunebox.data.settings import DataSettings
from tunebox.spec.own_trial import OwnTrialConfig
from tunebox.spec.trial_kinds import AnyTrialConfig
from tunebox.training.at_hand import in_memory_if_small
from tunebox.training.cross_validation import CrossValidatedRun
from tunebox.training.own_trial_run import OwnTrialRun
from tunebox.training.run import Run
from tunebox.training.trial_run import TrialRun


def make_run(
    config: AnyTrialConfig,
    *,
    seed: int,
    max_epochs: int,
    device: torch.device | str,
    rungs: Collection[int] = (),
    needed: Collection[str] = (),
) -> Run:
    """Return a new run of the trial ``config``.

    Args:
        config: Settings of the trial.
        seed: Random seed of the search.
        max_epochs: Epochs of a full training.
        device: Device to train on.
        rungs: Epochs at which the trial may be stopped; some metrics are computed only there.
        needed: Metrics that each report must have: those of the objectives and constraints.

    Raises:
        DataError: The data are missing.
    """
    if isinstance(config, OwnTrialConfig):
        return OwnTrialRun(config, seed=seed, max_epochs=max_epochs, device=device, needed=needed)
    num_folds = config.evaluation.cross_validation
    if num_folds is not None:
        folds = _folds(config.data, num_folds)
        return CrossValidatedRun(
            config, seed=seed, max_epochs=max_epochs, device=device, folds=folds, rungs=rungs
        )
    parts = _training_parts(config.data)
    return TrialRun(
        config, seed=seed, max_epochs=max_epochs, device=device, parts=parts, rungs=rungs
    )


@functools.lru_cache(maxsize=1)
def _training_parts(settings: DataSettings) -> OpenedParts:
    """Load the images once per process; the settings are frozen and therefore hashable."""
    return in_memory_if_small(open_training_parts(settings))


@functools.lru_cache(maxsize=1)
def _folds(settings: DataSettings, num_folds: int) -> list[OpenedParts]:
    """Load the images of a cross-validation once per process."""
    return [in_memory_if_small(parts) for parts in open_folds(settings, num_folds)]

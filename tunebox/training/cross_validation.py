"""A trial with cross-validation: a model for each fold, trained in step, an epoch each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tunebox.data.parts import OpenedParts
from tunebox.metrics.catalogue import COLLAPSED, FOLD_STD
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.trial_run import TrialRun


class CrossValidatedRun:
    """Trains one model per fold and reports the means of their metrics.

    The weights that it gives are those of the first fold's model, which has not seen the images of
    the first fold.

    Args:
        config: Settings of the trial.
        seed: As in `TrialRun`; the seed of each fold is derived from it.
        max_epochs: How many epochs the schedule of the learning rate spans.
        device: Where the images and the models live.
        folds: The parts of each fold, as `open_folds` gives them.
        rungs: As in `TrialRun`.

    Attributes:
        epoch: How many epochs are done.
        runs: The training of each fold.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        seed: int,
        max_epochs: int,
        device: torch.device | str,
        folds: Sequence[OpenedParts],
        rungs: Collection[int] = (),
    ) -> None:
        self._measured = tuple(config.evaluation.computed)
        own = seed if config.training.seed is None else config.training.seed
        unseeded = config.model_copy(
            update={"training": config.training.model_copy(update={"seed": None})}
        )
        self.epoch = 0
        self.max_epochs = max_epochs
        self.runs = [
            TrialRun(
                unseeded,
                seed=fold_seed(own, fold),
                max_epochs=max_epochs,
                device=device,
                parts=parts,
                rungs=rungs,
            )
            for fold, parts in enumerate(folds)
        ]

    def run_epoch(self) -> dict[str, float]:
        """Train the model of each fold for one epoch.

        Returns:
            The means over the folds of what `TrialRun.run_epoch` returns, so that one fold that
            is not finite makes the trial so; ``train_seconds`` is the sum. ``<metric>_fold_std``
            is the standard deviation over the folds of each metric of ``evaluation/metrics``.
            ``collapsed`` is there if a fold collapsed.
        """
        reports = [run.run_epoch() for run in self.runs]
        self.epoch += 1
        means = mean_metrics(reports)
        means["train_seconds"] = sum(report["train_seconds"] for report in reports)
        with np.errstate(invalid="ignore"):  # a metric of a fold may be infinite
            spread = {
                f"{name}{FOLD_STD}": float(np.std([report[name] for report in reports], ddof=1))
                for name in self._measured
                if name in means
            }
        collapsed = {COLLAPSED: 1.0} if any(COLLAPSED in report for report in reports) else {}
        return {**means, **spread, **collapsed}

    def rehearse(self, seconds: float) -> float:
        """Train as `TrialRun.rehearse` does, the model of each fold for a part of the time."""
        return float(np.mean([run.rehearse(seconds / len(self.runs)) for run in self.runs]))

    def weights(self) -> dict[str, Any]:
        """Return what `TrialRun.weights` gives for the model of the first fold."""
        return self.runs[0].weights()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the first fold's run, with those of the others as ``folds``."""
        first, *others = (run.state_dict() for run in self.runs)
        return {**first, "folds": others}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the run that gave ``state`` was.

        Raises:
            ValueError: It has another number of folds.
        """
        states = [state, *state["folds"]]
        for run, own in zip(self.runs, states, strict=True):
            run.load_state_dict(own)
        self.epoch = self.runs[0].epoch


def mean_metrics(reports: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each metric that all of ``reports`` have."""
    return {
        name: float(np.mean([report[name] for report in reports]))
        for name in reports[0]
        if all(name in report for report in reports)
    }


def fold_seed(seed: int, fold: int) -> int:
    """Return the seed of the training of ``fold``, from 0; it depends on nothing else."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])

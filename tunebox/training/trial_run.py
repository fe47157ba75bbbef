"""A trial that can be trained epoch by epoch, saved and taken up again."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import torch

from tunebox.data.batches import num_batches
from tunebox.data.facts import DataFacts
from tunebox.data.parts import OpenedParts, TrainingParts, open_training_parts
from tunebox.losses.base import build_losses
from tunebox.metrics.catalogue import COLLAPSED
from tunebox.metrics.metric import Metric
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.models.layer_groups import freeze_layers, trained_parameters
from tunebox.optim.settings import build_optimizer
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.at_hand import on_device
from tunebox.training.draws import EpochDraws
from tunebox.training.evaluate import Evaluator
from tunebox.training.loop import Trainer, train_epoch
from tunebox.training.teacher import averaged, build_teacher
from tunebox.training.views import ViewMaker

_EXPLODED = 1e6  # no loss of a training that works comes near it
_GUESS = 2.0  # times the accuracy of a random guess: the classes may be unequal


class TrialRun:
    """One training run.

    The same settings, seed and device give the same metrics, times apart, and so does a run that
    was saved and loaded into a new one; on the CPU to the last bit.

    Args:
        config: Settings of the trial.
        seed: Random seed of the weights and of every draw; ``training/seed`` in the settings wins.
        max_epochs: How many epochs the schedule of the learning rate spans.
        device: Where the images and the model live.
        parts: The data, if they are loaded already; they must be those of ``config.data``.
        rungs: Epochs at which the trial may end; some metrics are computed there only.

    Attributes:
        epoch: How many epochs are done.
        model: The classifier, on the device.

    Raises:
        DataError: The data are not there.
    """

    def __init__(
        self,
        config: TrialConfig,
        *,
        seed: int,
        max_epochs: int,
        device: torch.device | str,
        parts: TrainingParts | OpenedParts | None = None,
        rungs: Collection[int] = (),
    ) -> None:
        if max_epochs < 1:
            raise ValueError(f"max_epochs must be at least 1, got {max_epochs}")
        self.epoch = 0
        self.max_epochs = max_epochs
        self._config = config
        self._rungs = rungs
        self._device = torch.device(device)
        self._seed = seed if config.training.seed is None else config.training.seed
        self._train_seconds = 0.0
        parts = open_training_parts(config.data) if parts is None else parts
        self._parts = on_device(parts, self._device)
        self._train = self._parts.train
        self._evaluate = Evaluator(self._parts.validation, config.evaluation)
        self._trainer = self._build_trainer(config)

    @property
    def model(self) -> Classifier:
        """The classifier as it is now, on the device."""
        return self._trainer.model

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch and measure on the validation set.

        Returns:
            The metrics of ``evaluation/metrics``, those the loop measures, and ``train_<term>``
            for each active loss term. A loss that is not finite is returned as it is: what
            follows is the caller's decision.

        Raises:
            ValueError: ``max_epochs`` are done.
        """
        if self.epoch >= self.max_epochs:
            raise ValueError(f"the run has had its max_epochs={self.max_epochs} epochs")
        start = time.perf_counter()
        draws = EpochDraws.of_epoch(self._seed, self.epoch, self._device)
        with draws.for_layers():
            trained = train_epoch(self._trainer, self._train, draws, self.epoch)
        self.epoch += 1
        measured = self._evaluate(self.model, self._is_due)
        self._train_seconds += time.perf_counter() - start
        num_parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return {
            **measured,
            **trained,
            **self._collapse(measured, trained["train_loss"]),
            "train_seconds": self._train_seconds,
            "parameters": float(num_parameters),
        }

    def _collapse(self, measured: Mapping[str, float], train_loss: float) -> dict[str, float]:
        """Return a metric that says so, if the loss exploded and the model guesses."""
        guess = _GUESS / self._train.num_classes
        accuracy = measured.get("clean_accuracy", 1.0)
        return {COLLAPSED: 1.0} if train_loss > _EXPLODED and accuracy <= guess else {}

    def _is_due(self, metric: Metric) -> bool:
        return metric.is_due(self.epoch, rungs=self._rungs, max_epochs=self.max_epochs)

    def rehearse(self, seconds: float) -> float:
        """Train on a few batches again and again, and return images per second.

        Evaluates once before the clock starts, so that the device has given all the memory that a
        trial takes. The run is of no other use afterwards.

        Args:
            seconds: To train for; the batches that run then are finished.
        """
        self._evaluate(self.model)
        few = self._train.select(torch.arange(min(len(self._train), self._few_images)))
        num_images, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            draws = EpochDraws.of_epoch(self._seed, 0, self._device)
            train_epoch(self._trainer, few, draws, 0)
            num_images += len(few)
        return num_images / (time.perf_counter() - start)

    @property
    def _few_images(self) -> int:
        return 10 * self._trainer.batch_size

    def weights(self) -> dict[str, Any]:
        """Return the model's ``state_dict`` as ``model``, and what images and classes it is for.

        The keys ``channels``, ``height``, ``width``, ``num_classes`` and ``bits`` are numbers;
        ``class_names`` is a list, or None if the classes have no names; ``found`` is a line about
        the files that it was trained on, and ``data`` what `DataFacts.as_dict` gives.
        """
        channels, height, width = self._train.image_shape
        names = self._train.class_names
        return {
            "channels": channels,
            "height": height,
            "width": width,
            "num_classes": self._train.num_classes,
            "bits": self._train.bits,
            "class_names": None if names is None else list(names),
            "found": self._train.found,
            "data": self._data_facts.as_dict(),
            "model": self.model.state_dict(),
        }

    @cached_property
    def _data_facts(self) -> DataFacts:
        # not before there is something to export: a trial that diverges at once needs no digest
        return DataFacts.of(self._parts)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that :meth:`load_state_dict` needs, as plain data and tensors.

        ``torch.load`` reads it with ``weights_only=True``. The tensors are those of the run:
        save or copy them before the next epoch.
        """
        trainer = self._trainer
        return {
            "epoch": self.epoch,
            "train_seconds": self._train_seconds,
            "model": trainer.model.state_dict(),
            "losses": trainer.losses.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.schedule.state_dict(),
            **({} if trainer.teacher is None else {"teacher": trainer.teacher.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the run that gave ``state`` was; both have the same settings and seed."""
        trainer = self._trainer
        trainer.model.load_state_dict(state["model"])
        trainer.losses.load_state_dict(state["losses"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.schedule.load_state_dict(state["schedule"])
        if trainer.teacher is not None:
            trainer.teacher.load_state_dict(state["teacher"])
        self.epoch = state["epoch"]
        self._train_seconds = state["train_seconds"]

    def _build_trainer(self, config: TrialConfig) -> Trainer:
        channels, height, width = self._train.image_shape
        mean, std = self._train.channel_mean_std()
        model = build_classifier(
            config.model,
            channels=channels,
            height=height,
            width=width,
            num_classes=self._train.num_classes,
            mean=mean,
            std=std,
            seed=self._seed,
            cosine_scale=config.losses.cosine_scale,
        ).to(self._device)
        if config.training.channels_last and model.has_convolutions:
            model.to(memory_format=torch.channels_last)
        losses = build_losses(
            config.losses,
            num_classes=self._train.num_classes,
            feature_dim=model.head.in_features,
            num_images=len(self._train),
        ).to(self._device)
        teacher = build_teacher(model, config.losses.teacher_decay)
        views = ViewMaker(config, model, self._train.bits, averaged(teacher))
        freeze_layers(model, config.model)
        (_, parameters), *slower = trained_parameters(model, config.model.layer_decay)
        optimizer = build_optimizer(config.optimizer, parameters, losses.parameters(), slower)
        batch_size = config.training.batch_size
        total_steps = self.max_epochs * num_batches(len(self._train), batch_size)
        schedule = config.schedule.build(optimizer, total_steps)
        return Trainer(
            model,
            losses,
            views,
            optimizer,
            schedule,
            batch_size,
            self.max_epochs,
            config.training.clip_grad_norm,
            teacher,
        )

"""One epoch of training, for every method."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from tunebox.data.batches import batches
from tunebox.data.batches import num_batches as count_batches
from tunebox.data.stored_set import AnyImageSet
from tunebox.losses.base import WeightedLosses
from tunebox.models.base import Classifier
from tunebox.training.draws import EpochDraws
from tunebox.training.views import ViewMaker

_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class Trainer:
    """Everything that a training step touches, on one device."""

    model: Classifier
    losses: WeightedLosses
    views: ViewMaker
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler
    batch_size: int
    max_epochs: int
    clip_grad_norm: float | None
    teacher: AveragedModel | None = None


def train_epoch(
    trainer: Trainer, train: AnyImageSet, draws: EpochDraws, epoch: int
) -> dict[str, float]:
    """Train on every batch of ``train`` once; ``epoch`` are done before.

    Methods differ in their terms, their views and their noise, not in this loop. On a GPU nothing
    in the loop waits for the device, a look at the sums every few seconds apart: once the loss is
    not finite, the rest of a long epoch is not trained.

    Returns:
        The metrics ``train_loss``, ``train_<term>``, ``learning_rate`` and
        ``images_per_second``. A loss that became NaN or infinite is returned as it is.
    """
    start = checked = time.perf_counter()
    trainer.model.train()
    trainer.losses.train()
    sums = torch.zeros(1 + len(trainer.losses.names), device=train.device)
    num_images = num_batches = 0
    batches_per_epoch = count_batches(len(train), trainer.batch_size)
    learning_rate = math.nan
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    for images, labels, indices in batches(train, trainer.batch_size, draws.clean):
        progress = (epoch + num_batches / batches_per_epoch) / trainer.max_epochs
        context = trainer.views.make(images, labels, indices, progress, draws)
        loss, terms = trainer.losses(context)
        trainer.optimizer.zero_grad()
        loss.backward()
        if trainer.clip_grad_norm is not None:
            clip_grad_norm_(parameters, trainer.clip_grad_norm)
        trainer.optimizer.step()
        if trainer.teacher is not None:
            trainer.teacher.update_parameters(trainer.model)
        learning_rate = float(trainer.optimizer.param_groups[0]["lr"])
        trainer.schedule.step()
        sums += torch.stack([loss.detach(), *terms.values()])
        num_images += len(labels)
        num_batches += 1
        if time.perf_counter() - checked > _CHECK_SECONDS:
            checked = time.perf_counter()
            if not bool(sums.isfinite().all()):  # waits for the device
                break
    means = (sums / num_batches).tolist()  # waits for the device
    names = ["train_loss", *(f"train_{name}" for name in trainer.losses.names)]
    return {
        **dict(zip(names, means, strict=True)),
        "learning_rate": learning_rate,
        "images_per_second": num_images / (time.perf_counter() - start),
    }

"""From the settings of the schedule to torch's scheduler, stepped after every batch."""

import torch
from torch.optim import lr_scheduler

from tunebox.training.settings import (
    ConstantSettings,
    CosineSettings,
    MultistepSettings,
    ScheduleSettings,
)


def build_schedule(
    settings: ScheduleSettings, optimizer: torch.optim.Optimizer, total_steps: int
) -> lr_scheduler.LRScheduler:
    """Return a schedule that spans ``total_steps`` batches.

    The learning rate of the optimizer is the highest one. A milestone of ``multistep`` takes
    effect after that part of all batches, rounded to a whole batch.
    """
    if isinstance(settings, ConstantSettings):
        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    if isinstance(settings, MultistepSettings):
        milestones = sorted(round(part * total_steps) for part in settings.milestones)
        return lr_scheduler.MultiStepLR(optimizer, milestones, gamma=settings.factor)
    if isinstance(settings, CosineSettings):
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps)
    return lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=optimizer.param_groups[0]["lr"],
        total_steps=total_steps,
        pct_start=settings.rise,
        cycle_momentum=False,  # momentum is a setting of the optimizer
    )

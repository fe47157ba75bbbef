"""The schedules of torch that search files name, stepped after every batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tunebox.optim.settings import ScheduleSettings

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler


class ConstantSettings(ScheduleSettings):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        """Return torch's schedule."""
        from torch.optim import lr_scheduler

        return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)


class MultistepSettings(ScheduleSettings):
    """The learning rate is multiplied by ``factor`` at each milestone."""

    kind: Literal["multistep"]
    # parts of the whole training, so that they hold for any number of epochs
    milestones: list[Annotated[float, Field(gt=0, lt=1)]] = Field(min_length=1)
    factor: float = Field(0.2, gt=0, le=1)

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        """Return torch's schedule, each milestone rounded to a whole batch."""
        from torch.optim import lr_scheduler

        milestones = sorted(round(part * total_steps) for part in self.milestones)
        return lr_scheduler.MultiStepLR(optimizer, milestones, gamma=self.factor)


class CosineSettings(ScheduleSettings):
    """The learning rate falls to 0 along half a cosine."""

    kind: Literal["cosine"]

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        """Return torch's schedule."""
        from torch.optim import lr_scheduler

        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=total_steps)


class OneCycleSettings(ScheduleSettings):
    """The learning rate rises to ``lr`` and falls to almost 0 along cosines."""

    kind: Literal["one_cycle"]
    rise: float = Field(0.3, gt=0, lt=1)  # part of the training in which it rises

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        """Return torch's schedule."""
        from torch.optim import lr_scheduler

        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps,
            pct_start=self.rise,
            cycle_momentum=False,  # momentum is a setting of the optimizer
        )

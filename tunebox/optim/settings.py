"""``optimizer`` and ``schedule`` in a search file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tunebox.parts.part import Part

if TYPE_CHECKING:
    import torch
    from torch.optim.lr_scheduler import LRScheduler

_FUSED_DEVICES = ("cpu", "cuda")


class OptimizerSettings(Part):
    """Settings of an optimizer."""

    group = "optimizer"
    package = "tunebox.optim"
    supplied = ("params",)

    def build(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        """Return the optimizer.

        Args:
            groups: Parameter groups in torch's format; their values override the settings.
            fused: Whether the device has a fused kernel for the update.
        """
        import torch

        made = self.call(params=groups)
        if not isinstance(made, torch.optim.Optimizer):
            raise ValueError(f"returns {type(made).__name__}, expected a torch.optim.Optimizer")
        return made


class ScheduleSettings(Part):
    """Settings of a schedule, which changes the learning rate after every batch."""

    group = "schedule"
    package = "tunebox.optim"
    supplied = ("optimizer", "total_steps")

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LRScheduler:
        """Return a schedule that spans ``total_steps`` batches.

        The learning rate of the optimizer is the maximum of the schedule.
        """
        made: LRScheduler = self.call(optimizer=optimizer, total_steps=total_steps)
        return made


def build_optimizer(
    settings: OptimizerSettings,
    parameters: Iterable[torch.nn.Parameter],
    loss_parameters: Iterable[torch.nn.Parameter] = (),
    slower: Iterable[tuple[float, list[torch.nn.Parameter]]] = (),
) -> torch.optim.Optimizer:
    """Return the optimizer; all parameters are on one device.

    Args:
        settings: Kind and values of the optimizer.
        parameters: Parameters of the model that are trained at the full learning rate.
        loss_parameters: Parameters of the loss terms, trained without weight decay. Decay has a
            different meaning for each term; a term that needs it adds it to its loss.
        slower: The other parameters of the model, as pairs of a learning-rate factor and a group.
            Schedules scale the rates of all groups by the same factor.

    Where torch supports it, one fused kernel updates all parameters: for small networks this is
    several times faster than one kernel per parameter.
    """
    groups: list[dict[str, Any]] = [{"params": list(parameters)}]
    fused = groups[0]["params"][0].device.type in _FUSED_DEVICES
    slower = list(slower)
    groups += [{"params": of_layer} for _, of_layer in slower]
    if of_losses := list(loss_parameters):
        groups.append({"params": of_losses, "weight_decay": 0.0})
    optimizer = settings.build(groups, fused=fused)
    for (factor, _), group in zip(slower, optimizer.param_groups[1:], strict=False):
        group["lr"] *= factor
    return optimizer

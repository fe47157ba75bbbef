"""Schedules against formulas written independently of torch's."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from tunebox.optim.settings import OptimizerSettings, ScheduleSettings, build_optimizer

STEPS, LR = 40, 0.5


def optimizer_of(settings: dict[str, Any]) -> torch.optim.Optimizer:
    adapter: TypeAdapter[OptimizerSettings] = TypeAdapter(OptimizerSettings)
    return build_optimizer(adapter.validate_python(settings), nn.Linear(2, 2).parameters())


def rates(settings: dict[str, Any], optimizer: torch.optim.Optimizer) -> list[float]:
    """The learning rate of each of the 40 steps."""
    adapter: TypeAdapter[ScheduleSettings] = TypeAdapter(ScheduleSettings)
    schedule = adapter.validate_python(settings).build(optimizer, STEPS)
    seen = []
    for _ in range(STEPS):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def rates_of(**settings: Any) -> list[float]:
    return rates(settings, optimizer_of({"kind": "sgd", "lr": LR}))


def test_constant() -> None:
    assert rates_of(kind="constant") == [LR] * STEPS


def test_multistep_milestones_are_parts_of_the_training() -> None:
    # 0.3, 0.6 and 0.8 of 200 epochs are the published 60, 120 and 160.
    seen = rates_of(kind="multistep", milestones=[0.6, 0.3, 0.8], factor=0.2)
    expected = [LR * 0.2 ** ((step >= 12) + (step >= 24) + (step >= 32)) for step in range(STEPS)]
    assert seen == pytest.approx(expected)


def test_equal_milestones_count_twice() -> None:
    seen = rates_of(kind="multistep", milestones=[0.5, 0.5], factor=0.2)
    assert seen[-1] == pytest.approx(LR * 0.04)


def test_cosine() -> None:
    expected = [LR * (1 + math.cos(math.pi * step / STEPS)) / 2 for step in range(STEPS)]
    assert rates_of(kind="cosine") == pytest.approx(expected)


def test_one_cycle() -> None:
    def between(start: float, end: float, part: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    peak = 0.25 * STEPS - 1
    expected = [
        between(LR / 25, LR, step / peak)
        if step <= peak
        else between(LR, LR / 25 / 1e4, (step - peak) / (STEPS - 1 - peak))
        for step in range(STEPS)
    ]
    assert rates_of(kind="one_cycle", rise=0.25) == pytest.approx(expected)


def test_one_cycle_leaves_momentum_alone() -> None:
    sgd = optimizer_of({"kind": "sgd", "lr": LR, "momentum": 0.7})
    rates({"kind": "one_cycle"}, sgd)
    assert sgd.param_groups[0]["momentum"] == 0.7
    adamw = optimizer_of({"kind": "adamw", "lr": LR})
    rates({"kind": "one_cycle"}, adamw)
    assert adamw.param_groups[0]["betas"] == (0.9, 0.999)


def test_optimizers_get_their_settings() -> None:
    sgd = optimizer_of({"kind": "sgd", "lr": 0.1, "weight_decay": 0.3})
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 0.3)
    assert group["fused"]
    adamw = optimizer_of({"kind": "adamw", "lr": 0.1})
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.01


def test_building_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates_of(kind="one_cycle")

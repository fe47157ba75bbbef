"""The estimate of a trial's memory against what torch keeps, and what a process really takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunebox.spec.trial_config import TrialConfig
from tunebox.training.memory import MemoryEstimate, estimate_memory

MIB = 2**20


def trial_config(model: dict[str, Any], batch_size: int = 32, on: str = "clean") -> TrialConfig:
    losses: dict[str, Any] = {"cross_entropy": {"on": on}}
    if on != "clean":
        losses["noise"] = {"kind": "gaussian", "std": 0.1}
    return TrialConfig.model_validate(
        {
            "data": {"kind": "digits"},
            "model": model,
            "losses": losses,
            "optimizer": {"kind": "sgd", "lr": 0.1},
            "training": {"batch_size": batch_size},
            "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        }
    )


def estimated(config: TrialConfig, side: int = 64) -> MemoryEstimate:
    found = estimate_memory(config, (3, side, side), 1000, 10)
    assert found is not None
    return found


def test_parameters_of_an_mlp_are_those_by_hand() -> None:
    config = trial_config({"kind": "mlp", "width": 50, "depth": 1, "feature_dim": 20})
    inputs = 3 * 8 * 8
    weights = inputs * 50 + 50 + 50 * 20 + 20 + 20 * 10 + 10
    assert estimated(config, 8).model == 4 * 4 * weights


def test_it_grows_with_batch_views_and_images() -> None:
    small = {"kind": "small_conv"}
    one = estimated(trial_config(small)).batch
    assert estimated(trial_config(small, 64)).batch == pytest.approx(2 * one, rel=0.01)
    assert estimated(trial_config(small, 32, "both")).batch == pytest.approx(2 * one, rel=0.01)
    assert estimated(trial_config(small), 128).batch == pytest.approx(4 * one, rel=0.01)
    assert estimated(trial_config(small, 5000)).batch == pytest.approx(1000 / 32 * one, rel=0.01)


MEASURED = """
import sys
import torch
from torch import nn
from tests.training.test_memory import trial_config
from tunebox.data.image_set import ImageSet
from tunebox.data.parts import TrainingParts
from tunebox.training.trial_run import TrialRun

torch.set_num_threads(1)
images = torch.randint(0, 256, (32, 3, 160, 160), dtype=torch.uint8)
part = ImageSet(images, torch.arange(32) % 10, 10)
def peak(batch_size):
    config = trial_config({"kind": sys.argv[1]}, batch_size)
    parts = TrainingParts(part, part.select(torch.arange(2)))
    TrialRun(config, seed=0, max_epochs=1, device="cpu", parts=parts).run_epoch()
    # of this program alone: getrusage also counts the process that started it
    status = open("/proc/self/status").read()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
print(peak(2), peak(32))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_it_is_what_a_process_takes() -> None:
    kind = "small_conv"
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, kind], capture_output=True, text=True, check=True
    )
    small, large = map(int, done.stdout.split())
    by_batch = [estimated(trial_config({"kind": kind}, size), 160).batch for size in (2, 32)]
    expected = by_batch[1] - by_batch[0]
    assert large - small == pytest.approx(expected, rel=0.35)
    assert small < estimated(trial_config({"kind": kind}, 2), 160).total + 200 * MIB

"""A trial whose images stay in a file is the trial whose images are in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tunebox.data import image_cache
from tunebox.data.parts import open_training_parts
from tunebox.data.stored_set import StoredSet
from tunebox.spec.trial_config import TrialConfig
from tunebox.training import at_hand
from tunebox.training.evaluate import clean_batches, fitting
from tunebox.training.trial_run import TrialRun


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialConfig:
    monkeypatch.setattr(image_cache, "_SMALL", 0)
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=draws.permutation(60) % 3)
    return TrialConfig.model_validate(
        {
            "data": {
                "kind": "npz",
                "file": str(tmp_path / "set.npz"),
                "cache": str(tmp_path / "cache"),
                "label_noise": {"kind": "symmetric", "rate": 0.2},
            },
            "augmentation": {"kind": "photo", "brightness": 0.2},
            "model": {"kind": "small_conv", "width": 4},
            "losses": {"cross_entropy": {"on": "both"}, "noise": {"kind": "gaussian", "std": 0.1}},
            "optimizer": {"kind": "sgd", "lr": 0.1},
            "training": {"batch_size": 8},
            "evaluation": {"noise": {"kind": "gaussian", "std": 0.1}},
        }
    )


@pytest.mark.slow
def test_metrics_and_weights_are_the_same(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = open_training_parts(config.data)
    assert isinstance(parts.train, StoredSet)
    runs = []
    for small in (0, 2**30):
        monkeypatch.setattr(at_hand, "SMALL_BYTES", small)
        run = TrialRun(config, seed=1, max_epochs=2, device="cpu", parts=parts)
        assert isinstance(run._train, StoredSet) == (small == 0)
        runs.append((run, [run.run_epoch(), run.run_epoch()]))
    (stored, metrics), (resident, expected) = runs
    measured = {"train_seconds", "images_per_second"}
    for found, wanted in zip(metrics, expected, strict=True):
        assert {k: v for k, v in found.items() if k not in measured} == {
            k: v for k, v in wanted.items() if k not in measured
        }
    wanted_weights = resident.weights()["model"]
    for name, value in stored.weights()["model"].items():
        assert torch.equal(value, wanted_weights[name])


def test_large_images_are_evaluated_in_small_batches(config: TrialConfig) -> None:
    train = open_training_parts(config.data).train
    assert fitting(1024, train) == 1024
    sizes = [len(images) for images, _ in clean_batches(train, 20)]
    assert sizes == [20, 18]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tunebox.training.evaluate._BATCH_VALUES", 7 * 3 * 12 * 12)
        assert fitting(1024, train) == 7
        found = torch.cat([images for images, _ in clean_batches(train, 20)])
    whole = torch.cat([images for images, _ in clean_batches(train, 20)])
    assert torch.equal(found, whole)

"""A trial on images of 16 bits: the same as on the 8-bit images that have the same brightness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tunebox.data.image_set import ImageSet
from tunebox.data.parts import TrainingParts
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.evaluate import clean_batches
from tunebox.training.robustness import evaluate_robustness
from tunebox.training.trial_run import TrialRun

MakeConfig = Callable[..., TrialConfig]


def deepened(images: ImageSet) -> ImageSet:
    deep = (images.images.to(torch.int32) * 257).to(torch.uint16)  # 255 becomes 65535
    return replace(images, images=deep, bits=16)


@pytest.mark.parametrize("flip", [False, True])
def test_equal_brightness_gives_equal_results(
    flip: bool, make_config: MakeConfig, parts: TrainingParts
) -> None:
    config = make_config("both", augmentation={"crop_padding": 1, "flip": flip})
    deep = TrainingParts(deepened(parts.train), deepened(parts.validation))
    runs = [TrialRun(config, seed=0, max_epochs=2, device="cpu", parts=p) for p in (parts, deep)]
    for _ in range(2):
        shallow_metrics, deep_metrics = (run.run_epoch() for run in runs)
        for name in ("clean_accuracy", "noisy_accuracy", "clean_loss", "train_loss"):
            assert deep_metrics[name] == pytest.approx(shallow_metrics[name], rel=1e-4), name
    reports = [
        evaluate_robustness(run.model, p.validation, seed=0, device="cpu", curvature_images=8)
        for run, p in zip(runs, (parts, deep), strict=True)
    ]
    for expected, found in zip(reports[0].rows, reports[1].rows, strict=True):
        assert found.loss == pytest.approx(expected.loss, rel=1e-3)
    assert runs[1].weights()["bits"] == 16
    assert runs[1].weights()["class_names"] == [str(digit) for digit in range(10)]


def test_batches_see_the_scale_of_the_sensor(parts: TrainingParts) -> None:
    dark = replace(parts.train, images=parts.train.images.to(torch.uint16), bits=12)
    images, _ = next(clean_batches(dark, 10))
    expected = parts.train.images[:10].double() / 4095
    torch.testing.assert_close(images.double(), expected, rtol=1e-6, atol=0)

"""Cross-validation, against single runs on the same folds."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tunebox.data.parts import open_folds
from tunebox.metrics.catalogue import COMPUTED, DEFAULT_COMPUTED, find_metric
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.cross_validation import CrossValidatedRun, fold_seed
from tunebox.training.make_run import make_run
from tunebox.training.trial_run import TrialRun

FOLDS = 3
CLOCK = {"train_seconds", "images_per_second"}
MakeConfig = Callable[..., TrialConfig]


@pytest.fixture
def config(make_config: MakeConfig) -> TrialConfig:
    evaluation = {"noise": {"kind": "gaussian", "std": 0.2}, "cross_validation": FOLDS}
    model = {"kind": "mlp", "width": 16, "feature_dim": 16}
    return make_config(
        "ours", data={"kind": "digits", "train_images": 150}, model=model, evaluation=evaluation
    )


def start(config: TrialConfig, seed: int = 3) -> CrossValidatedRun:
    run = make_run(config, seed=seed, max_epochs=4, device="cpu")
    assert isinstance(run, CrossValidatedRun)
    return run


def epochs(run: CrossValidatedRun, count: int) -> list[dict[str, float]]:
    reports = [run.run_epoch() for _ in range(count)]
    return [{key: report[key] for key in report.keys() - CLOCK} for report in reports]


def test_a_report_has_means_and_deviations_of_single_runs_on_the_folds(config: TrialConfig) -> None:
    [_, report] = epochs(start(config), 2)
    singles = []
    for fold, parts in enumerate(open_folds(config.data, FOLDS)):
        single = TrialRun(config, seed=fold_seed(3, fold), max_epochs=4, device="cpu", parts=parts)
        single.run_epoch()
        singles.append(single.run_epoch())
    for name, value in report.items():
        base = name.removesuffix("_fold_std")
        values = [single[base] for single in singles]
        expected = np.mean(values) if base == name else np.std(values, ddof=1)
        assert value == pytest.approx(float(expected), rel=1e-12), name
    assert {f"{name}_fold_std" for name in DEFAULT_COMPUTED} < set(report)
    assert len({single["train_loss"] for single in singles}) == FOLDS


def test_a_seed_in_the_settings_wins(config: TrialConfig) -> None:
    training = config.training.model_copy(update={"seed": 3})
    seeded = config.model_copy(update={"training": training})
    assert epochs(start(seeded, seed=8), 1) == epochs(start(config, seed=3), 1)
    assert epochs(start(config, seed=8), 1) != epochs(start(config, seed=3), 1)


def test_a_run_goes_on_where_it_was_saved_with_all_folds(config: TrialConfig) -> None:
    whole = epochs(start(config), 3)
    run = start(config)
    run.run_epoch()
    file = io.BytesIO()
    torch.save(run.state_dict(), file)
    file.seek(0)
    resumed = start(config)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.epoch == 1
    assert epochs(resumed, 2) == whole[1:]


def test_the_weights_are_those_of_the_first_fold(config: TrialConfig) -> None:
    run = start(config)
    run.run_epoch()
    weights, state = run.weights()["model"], run.state_dict()
    for name, tensor in run.runs[0].model.state_dict().items():
        assert torch.equal(weights[name], tensor)
        assert torch.equal(state["model"][name], tensor)
    first, second = (run.runs[fold].model.head.weight for fold in (0, 1))
    assert not torch.equal(first, second)


def test_one_fold_that_diverges_or_collapses_is_seen(
    config: TrialConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(config)
    reports: list[dict[str, Any]] = [dict(part.run_epoch()) for part in run.runs]
    reports[1] |= {"train_loss": float("inf"), "clean_loss": float("inf"), "collapsed": 1.0}
    for part, report in zip(run.runs, reports, strict=True):
        monkeypatch.setattr(part, "run_epoch", lambda report=report: report)
    found = run.run_epoch()
    assert found["train_loss"] == float("inf")
    assert found["collapsed"] == 1.0


def test_a_deviation_over_folds_has_the_unit_of_its_metric() -> None:
    metric = find_metric("noisy_accuracy_fold_std")
    assert metric is not None
    assert metric.unit == COMPUTED["noisy_accuracy"].unit
    assert metric.direction is None
    assert find_metric("other_fold_std") is None

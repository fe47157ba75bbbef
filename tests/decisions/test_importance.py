from __future__ import annotations

import random

import pytest

from tests.records.make_log import OBJECTIVES, START, make_log, make_report, make_spec, make_trial
from tunebox.decisions.comparable import comparable
from tunebox.decisions.importance import FRONT, MIN_TRIALS, importances
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState

LEAVES = make_spec().space.leaves


def log_where_lr_decides(num_trials: int) -> TrialLog:
    """Clean accuracy is high where lr is; noisy accuracy where the noise is, in its branch."""
    log = make_log(num_trials)
    generator = random.Random(1)
    for trial in log.trials.values():
        clean = float(str(trial.settings["optimizer/lr"])) + generator.gauss(0, 0.005)
        noisy = float(str(trial.settings.get("losses/noisy/noise/std", 0.0)))
        trial.history = [make_report(1, clean, noisy + generator.gauss(0, 0.005))]
    return log


def test_the_setting_that_decides_is_the_most_important() -> None:
    log = log_where_lr_decides(120)
    found = {i.target: i for i in importances(log.objectives, comparable(log), LEAVES)}
    assert list(found) == [FRONT, "clean_accuracy", "noisy_accuracy"]
    assert next(iter(found["clean_accuracy"].shares)) == "optimizer/lr"
    assert found["clean_accuracy"].clear[0] == "optimizer/lr"
    assert "losses/noisy/noise/std" in found["noisy_accuracy"].clear
    for importance in found.values():
        assert sum(importance.shares.values()) == pytest.approx(1)
        assert set(importance.shares) == {leaf.path for leaf in LEAVES}
        assert "training/precision" not in importance.clear[:2]


def test_too_few_trials_have_no_importances() -> None:
    log = log_where_lr_decides(MIN_TRIALS - 1)
    assert importances(log.objectives, comparable(log), LEAVES) == []
    assert importances(OBJECTIVES, comparable(TrialLog(OBJECTIVES)), LEAVES) == []


def test_comparable_are_the_values_at_the_latest_epoch_that_enough_reached() -> None:
    log = TrialLog(OBJECTIVES)
    for number in range(100):
        epochs = 1 if number < 60 else 4 if number < 95 else 9
        log.trials[f"t{number}"] = make_trial(f"t{number}", 0.5, 0.5, epochs=epochs)
    found = comparable(log)
    assert found.epoch == 4
    assert [trial.trial_id for trial in found.trials] == [f"t{n}" for n in range(60, 100)]
    assert {report.epoch for report in found.reports} == {4}


def test_comparable_values_are_finite() -> None:
    log = TrialLog(OBJECTIVES)
    log.trials["good"] = make_trial("good", 0.5, 0.5)
    log.trials["bad"] = make_trial("bad", float("nan"), 0.5)
    log.trials["none"] = TrialRecord("none", {}, START, TrialState.FAILED)
    found = comparable(log)
    assert [trial.trial_id for trial in found.trials] == ["good"]
    assert comparable(TrialLog(OBJECTIVES)).epoch == 0

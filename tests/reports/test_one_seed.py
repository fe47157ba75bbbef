"""What is said of a front of one seed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.records.make_log import LOSS, OBJECTIVES, make_trial
from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.pareto.objectives import Objectives
from tunebox.reports.one_seed import describe_one_seed

ONE_SEED = "one seed: each trial was trained once, and other seeds may give another front"


def log_of(*trials: TrialRecord, objectives: Objectives = OBJECTIVES) -> TrialLog:
    log = TrialLog(objectives)
    log.trials = {trial.trial_id: trial for trial in trials}
    return log


def test_neighbours_are_compared_by_the_standard_errors_of_their_accuracies() -> None:
    log = log_of(make_trial("a", 0.8, 0.5), make_trial("b", 0.79, 0.6), make_trial("c", 0.6, 0.61))
    deviation = math.sqrt(0.5 * 0.5 / 100 + 0.6 * 0.4 / 100)  # of a and b, in noisy accuracy
    other = math.sqrt(0.79 * 0.21 / 100 + 0.6 * 0.4 / 100)  # of b and c, in clean accuracy
    low, high = sorted([0.1 / deviation, 0.19 / other])
    assert describe_one_seed(log) == (
        f"{ONE_SEED}; neighbours on it are {low:.1f} to {high:.1f} standard errors apart, with "
        "100 validation images"
    )


def test_the_folds_of_a_cross_validation_tell_the_deviation() -> None:
    trials = [make_trial("a", 0.8, 0.5), make_trial("b", 0.7, 0.6)]
    for trial in trials:
        last = trial.history[-1]
        spread = {"clean_accuracy_fold_std": 0.03, "noisy_accuracy_fold_std": 0.04}
        trial.history[-1] = replace(last, metrics={**last.metrics, **spread})
    gap = 0.1 / math.hypot(0.03, 0.03)
    expected = (
        f"{ONE_SEED}; neighbours on it are {gap:.1f} standard deviations over the folds apart"
    )
    assert describe_one_seed(log_of(*trials)) == expected


@pytest.mark.parametrize(
    "log",
    [
        log_of(make_trial("a", 0.8, 0.5)),
        log_of(make_trial("a", 0.8, 0.5), make_trial("b", 0.7, 0.6), objectives=Objectives([LOSS])),
    ],
)
def test_without_accuracies_of_two_trials_nothing_is_compared(log: TrialLog) -> None:
    assert describe_one_seed(log) == ONE_SEED

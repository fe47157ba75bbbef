"""Trials in training over time, against times by hand."""

from __future__ import annotations

import pytest

from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.reports.report.occupancy import figure, occupancy, sentence
from tunebox.reports.report.study import Study

ACCURACY = Objectives([Objective("clean_accuracy", maximize=True, reference=0.0)])


def trial(name: str, start: float, reports: list[tuple[float, float]]) -> TrialRecord:
    """A trial with the time of each report, and the seconds that it has trained until then."""
    made = TrialRecord(name, {}, start, TrialState.FINISHED, end_time=reports[-1][0])
    made.history = [
        Report(epoch, {"clean_accuracy": 0.5, "train_seconds": seconds}, time)
        for epoch, (time, seconds) in enumerate(reports, start=1)
    ]
    return made


@pytest.fixture
def study() -> Study:
    """Ten seconds: a trains from 2 to 6, b from 3 to 5 and from 8 to 10."""
    log = TrialLog(ACCURACY)
    log.trials["a"] = trial("a", 100.0, [(104.0, 2.0), (106.0, 4.0)])
    log.trials["b"] = trial("b", 101.0, [(105.0, 2.0), (110.0, 4.0)])
    return Study("made-1", log)


def test_a_trial_counts_while_its_epochs_last(study: Study) -> None:
    found = occupancy(study, num_bins=10)
    assert found is not None
    assert found.means == pytest.approx([0, 0, 1, 2, 2, 1, 0, 0, 1, 1])
    assert found.most == 2
    assert found.mean == pytest.approx(0.8)
    assert "On average 0.8 trials were in training at a time and at most 2" in sentence(found)
    assert "workers trained 40 % of the time" in sentence(found)


def test_the_line_has_the_area_of_all_trainings(study: Study) -> None:
    found = occupancy(study, num_bins=7)
    assert found is not None
    [trace] = figure(found, "seconds", 1.0).data
    x, y = trace["x"], trace["y"]
    area = sum((x[i + 1] - x[i]) * y[i] for i in range(0, len(x), 2))
    assert area == pytest.approx(8.0, rel=1e-2)


def test_a_clock_that_was_set_back_gives_no_negative_time(study: Study) -> None:
    study.log.trials["b"].history[1].metrics["train_seconds"] = 500.0
    found = occupancy(study)
    assert found is not None
    assert found.means.min() >= -1e-9
    assert found.most == 2


def test_nothing_before_the_first_epoch() -> None:
    assert occupancy(Study("made-1", TrialLog(ACCURACY))) is None

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_log, make_report, make_trial
from tests.spec.make_spec import FIXED_FILE, spec_of
from tunebox.pareto.objectives import Objectives
from tunebox.spec.space import Values
from tunebox.tables import (
    comparison_table,
    describe_settings,
    format_metric,
    front_table,
    spaces_table,
)
from tunebox.trials import TrialLog, TrialRecord, TrialState


def printed(table: Table) -> list[list[str]]:
    """The words of each line."""
    file = io.StringIO()
    Console(file=file, width=300, markup=False).print(table)
    return [line.split() for line in file.getvalue().splitlines()]


def log_of(*trials: TrialRecord, objectives: Objectives = OBJECTIVES) -> TrialLog:
    log = TrialLog(objectives)
    log.trials = {trial.trial_id: trial for trial in trials}
    return log


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("clean_accuracy", 0.98765, "98.77 %"),
        ("noisy_accuracy", 1.0, "100.00 %"),
        ("train_seconds", 12.345, "12.3 s"),
        ("parameters", 12345.0, "12345"),
        ("train_loss", 0.123456, "0.1235"),
        ("clean_loss", 2.0, "2"),
        ("train_loss", float("nan"), "nan"),
        ("train_loss", float("inf"), "inf"),
    ],
)
def test_digits_that_matter(name: str, value: float, expected: str) -> None:
    assert format_metric(name, value) == expected


def test_settings_without_the_branches_that_lead_to_them() -> None:
    values: Values = {
        "model/width": 16,
        "losses": "noisy",
        "losses/noisy/noise": "gaussian",
        "losses/noisy/noise/gaussian/std": 0.123456,
        "optimizer/lr": 0.000123456,
        "training/seed": None,
        "losses_of": True,
    }
    assert describe_settings(values) == (
        "model/width 16, losses noisy, noise gaussian, std 0.123, optimizer/lr 0.000123, "
        "training/seed None, losses_of True"
    )
    assert describe_settings({}) == ""


def test_front_is_a_row_a_trial_best_in_the_first_objective_first() -> None:
    log = log_of(
        make_trial("dominated", 0.5, 0.25),
        make_trial("noisy", 0.5, 0.75, epochs=3),
        make_trial("clean", 0.875, 0.5, epochs=9),
    )
    lines = printed(front_table(log, "The front"))
    assert lines[0] == ["The", "front"]
    assert lines[1] == ["trial", "clean_accuracy", "noisy_accuracy", "epochs", "settings"]
    assert lines[2:] == [
        ["clean", "87.50", "%", "50.00", "%", "9"],
        ["noisy", "50.00", "%", "75.00", "%", "3"],
    ]


def test_front_without_trials_is_a_heading() -> None:
    assert len(printed(front_table(log_of(), "Empty"))) == 2


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_the_front(seed: int) -> None:
    log = make_log(30, seed)
    rows = printed(front_table(log, "x"))[2:]
    assert [row[0] for row in rows] == [trial.trial_id for trial in log.front()]


def test_searches_side_by_side() -> None:
    objectives = Objectives([CLEAN, LOSS])
    one = make_trial("a", 0.5, 0.5, epochs=2)
    one.history[-1] = make_report(2, 0.5, 0.5, loss=0.25)
    other = make_trial("b", 0.75, 0.5, epochs=3)
    other.history[-1] = make_report(3, 0.75, 0.5, loss=2.0)
    running = TrialRecord("c", {}, 0.0, TrialState.RUNNING)
    first = log_of(one, other, running, objectives=objectives)
    empty = log_of(objectives=objectives)
    lines = printed(comparison_table([("first-1", first), ("empty-1", empty)]))
    assert lines[0][:5] == ["search", "trials", "epochs", "front", "hypervolume"]
    # 0.5 * (3 - 0.25) and the step of 0.25 from there on, * (3 - 2)
    assert lines[1] == ["first-1", "3", "5", "2", "1.6250", "75.00", "%", "0.25"]
    assert lines[2] == ["empty-1", "0", "0", "0", "0.0000", "-", "-"]


def test_search_with_other_objectives_is_told_apart() -> None:
    one = log_of(make_trial("a", 0.5, 0.5), objectives=Objectives([CLEAN]))
    other = log_of(make_trial("a", 0.5, 0.75), objectives=Objectives([NOISY]))
    lines = printed(comparison_table([("one-1", one), ("other-1", other)]))
    assert lines[1][-2:] == ["50.00", "%"]  # of the first search's objective
    assert lines[2][4] == "0.6500"


def test_search_files() -> None:
    lines = printed(spaces_table([spec_of(), spec_of(FIXED_FILE, "folder/fixed.yaml")]))
    assert lines[0] == ["file", "asks", "data", "objectives", "leaves"]
    assert lines[1][:1] + lines[1][-1:] == ["made", "13"]
    assert lines[1][1:5] == ["Which", "method", "is", "best?"]
    assert lines[2] == ["fixed", "digits", "clean_accuracy,", "noisy_accuracy", "0"]

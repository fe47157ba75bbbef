from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_report, make_trial
from tests.spec.make_spec import FIXED_FILE, spec_of
from tunebox.cli.tables import (
    class_table,
    comparison_table,
    describe_settings,
    evaluation_table,
    numbers_table,
    spaces_table,
)
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.spec.space import Values
from tunebox.training.robustness import CurvatureSummary, RobustnessReport
from tunebox.training.robustness_row import RobustnessRow


def printed(table: Table) -> list[list[str]]:
    """The words of each line."""
    file = io.StringIO()
    Console(file=file, width=300, markup=False).print(table)
    return [line.split() for line in file.getvalue().splitlines()]


def log_of(*trials: TrialRecord, objectives: Objectives = OBJECTIVES) -> TrialLog:
    log = TrialLog(objectives)
    log.trials = {trial.trial_id: trial for trial in trials}
    return log


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


def test_a_search_with_other_objectives_is_marked() -> None:
    one = log_of(make_trial("a", 0.5, 0.5), objectives=Objectives([CLEAN]))
    other = log_of(make_trial("a", 0.5, 0.75), objectives=Objectives([NOISY]))
    lines = printed(comparison_table([("one-1", one), ("other-1", other)]))
    assert lines[1][4:] == ["0.5000", "50.00", "%"]
    assert lines[2][4:] == ["-", "50.00", "%"]  # of the first search's objective
    assert "other-1:" in lines[3]


def test_a_search_with_other_references_has_no_hypervolume_beside_the_first() -> None:
    far = Objective("clean_accuracy", maximize=True, reference=-5.0)
    one = log_of(make_trial("a", 0.5, 0.5), objectives=Objectives([CLEAN]))
    other = log_of(make_trial("a", 0.5, 0.5), objectives=Objectives([far]))
    lines = printed(comparison_table([("one-1", one), ("other-1", other), ("same-1", one)]))
    assert [line[4] for line in lines[1:4]] == ["0.5000", "-", "0.5000"]


def test_search_files() -> None:
    lines = printed(spaces_table([spec_of(), spec_of(FIXED_FILE, "folder/fixed.yaml")]))
    assert lines[0] == ["file", "asks", "data", "objectives", "leaves"]
    assert lines[1][:1] + lines[1][-1:] == ["made", "13"]
    assert lines[1][1:5] == ["Which", "method", "is", "best?"]
    assert lines[2] == ["fixed", "digits", "clean_accuracy,", "noisy_accuracy", "0"]


def test_evaluation_has_a_line_for_each_number_and_a_dash_without_a_loss() -> None:
    rows = [
        RobustnessRow("clean", "none", 0.0, 0.9, 0.25),
        RobustnessRow("certified", "radius", 0.0, 0.5, None),
    ]
    summary = CurvatureSummary(3, 1.0, 1.0, 0.5, 2.0)
    report = RobustnessReport(
        rows, summary, {"mean_corruption_error": 0.25}, {"dog": 0.75, "cat": 0.5}
    )
    lines = printed(evaluation_table(report, "A model"))
    assert ["clean", "-", "90.00", "%", "0.2500"] in lines
    assert ["certified", "radius", "0", "50.00", "%", "-"] in lines
    assert ["mean_corruption_error", "0.25"] in printed(numbers_table(report))


def test_classes_are_listed_from_the_lowest_accuracy() -> None:
    by_class = {"dog": 0.75, "cat": 0.5, "a\x1b[31m": 1.0}
    report = RobustnessReport([], CurvatureSummary(1, 0.0, 0.0, 0.0, 0.0), {}, by_class)
    table = class_table(report)
    names = [getattr(cell, "plain", cell) for cell in table.columns[0].cells]
    assert names == ["cat", "dog", "a\\x1b[31m"]
    assert list(table.columns[1].cells) == ["50.00 %", "75.00 %", "100.00 %"]

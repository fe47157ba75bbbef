from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.table import Table

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_log, make_trial
from tunebox.cli.front_table import front_data, front_table, print_front
from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.pareto.objectives import Objective, Objectives

FOUR = Objectives([CLEAN, NOISY, LOSS, Objective("train_seconds", maximize=False, reference=99)])


def text_of(table: Table, width: int = 300) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, markup=False).print(table)
    return file.getvalue().splitlines()


def printed(table: Table) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text_of(table)]


def log_of(*trials: TrialRecord, objectives: Objectives = OBJECTIVES) -> TrialLog:
    log = TrialLog(objectives)
    log.trials = {trial.trial_id: trial for trial in trials}
    return log


def test_front_names_equal_trials_below() -> None:
    log = log_of(*(make_trial(name, 0.5, 0.75) for name in "abc"), make_trial("d", 0.75, 0.5))
    lines = printed(front_table(log, "The front"))
    assert [line[0] for line in lines[3:5]] == ["d", "a"]
    assert lines[5:] == [["a", "is", "equal", "in", "all", "objectives", "to", "b,", "c"]]


def test_front_is_a_row_a_trial_best_in_the_first_objective_first() -> None:
    log = log_of(
        make_trial("dominated", 0.5, 0.25),
        make_trial("noisy", 0.5, 0.75, epochs=3),
        make_trial("clean", 0.875, 0.5, epochs=9),
    )
    lines = printed(front_table(log, "The front"))
    assert lines[0] == ["The", "front"]
    assert lines[1] == ["clean_", "noisy_"]
    assert lines[2] == ["trial", "accuracy", "accuracy", "epochs", "settings"]
    assert lines[3:] == [
        ["clean", "*", "87.50", "%", "50.00", "%", "9"],
        ["noisy", "50.00", "%", "75.00", "%", "3"],
    ]


def test_front_without_trials_is_a_heading() -> None:
    assert len(printed(front_table(log_of(), "Empty"))) == 3


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_the_front(seed: int) -> None:
    log = make_log(30, seed)
    rows = printed(front_table(log, "x"))[3:]
    assert [row[0] for row in rows] == [trial.trial_id for trial in log.front()]


@pytest.mark.parametrize("objectives", [OBJECTIVES, FOUR], ids=len)
def test_a_trial_is_one_line_of_80_columns(objectives: Objectives) -> None:
    log = make_log(60, objectives=objectives)
    title = "Front of a_search_with_a_long_name-12: 10 of 60 trials, hypervolume 0.1234"
    lines = text_of(front_table(log, title), width=80)
    assert max(map(len, lines)) <= 80
    assert lines[0].rstrip() == title
    assert [line.split()[0] for line in lines[3:]] == [t.trial_id for t in log.front()]


def test_settings_are_those_that_differ_by_their_shortest_distinct_name() -> None:
    log = log_of(make_trial("a", 0.9, 0.1), make_trial("b", 0.5, 0.5), make_trial("c", 0.1, 0.9))
    same = {"model/width": 16, "training/seed": None}
    log.trials["a"].settings = {**same, "losses": "clean_only", "optimizer/lr": 0.125}
    noisy = {**same, "losses": "noisy", "optimizer/lr": 0.25}
    log.trials["b"].settings = {**noisy, "losses/noisy/a/std": 0.1, "losses/noisy/b/std": 0.5}
    log.trials["c"].settings = {**noisy, "losses/noisy/a/std": 0.2, "losses/noisy/b/std": 0.5}
    lines = text_of(front_table(log, "x"))
    assert lines[2].split()[-2:] == ["method", "settings"]
    ends = [" ".join(line.split("epochs")[-1].split()[-7:]) for line in lines[3:]]
    assert ends[0].endswith("1 clean_only lr 0.125")
    assert ends[1].endswith("noisy lr 0.25, a/std 0.1, b/std 0.5")
    assert ends[2].endswith("noisy lr 0.25, a/std 0.2, b/std 0.5")
    wide = text_of(front_table(log, "x", wide=True))
    assert wide[1].split()[1:3] == ["clean_accuracy", "noisy_accuracy"]
    assert "model/width 16, training/seed None, losses clean_only, optimizer/lr 0.125" in wide[2]


def test_the_star_is_at_the_knee() -> None:
    log = log_of(make_trial("a", 0.9, 0.1), make_trial("b", 0.7, 0.7), make_trial("c", 0.1, 0.9))
    stars = [row[0] for row in printed(front_table(log, "x"))[3:] if row[1] == "*"]
    assert stars == ["b"] == [front_data("x", log)["knee"]]


def test_front_as_data() -> None:
    log = make_log(30)
    data = json.loads(json.dumps(front_data("made-1", log), allow_nan=False))
    assert [row["trial"] for row in data["front"]] == [t.trial_id for t in log.front()]
    for row, trial in zip(data["front"], log.front(), strict=True):
        assert row["settings"] == trial.settings
        assert row["metrics"] == pytest.approx(trial.last_metrics)
        assert row["method"] == trial.settings["losses"]
    assert front_data("x", log_of())["front"] == []


def test_what_the_model_expects_is_printed() -> None:
    log = log_of(*(make_trial(f"{number}", 0.5, 0.6) for number in range(8)))
    assert front_data("x", log)["expected_gain"] is None
    for trial in log.trials.values():
        trial.expected_gain = 0.001
    assert front_data("x", log)["expected_gain"] == pytest.approx(0.001)
    file = io.StringIO()
    print_front(Console(file=file, width=100, markup=False), "made-1", log)
    said = "The model expects 100 epochs more to raise the hypervolume 0.25 by 0.001 (0.004 of it)."
    assert said in file.getvalue()


def test_front_is_printed_with_its_plot() -> None:
    file = io.StringIO()
    print_front(Console(file=file, width=80, markup=False), "made-1", make_log(30))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("* knee" in line for line in lines)

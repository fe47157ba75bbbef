import pytest

from tests.records.make_log import CLEAN, OBJECTIVES, make_log, make_trial
from tunebox.decisions.trials import TrialLog
from tunebox.pareto.objectives import Objectives
from tunebox.reports.front_text import front_text


def test_marks_are_where_the_trials_are() -> None:
    log = TrialLog(OBJECTIVES)
    for trial_id, clean, noisy in [("a", 0.9, 0.1), ("k", 0.8, 0.8), ("c", 0.1, 0.9)]:
        log.trials[trial_id] = make_trial(trial_id, clean, noisy)
    log.trials["d"] = make_trial("d", 0.5, 0.5)  # dominated
    legend, *plot = front_text(log, "s", width=60, height=15).splitlines()
    assert legend == "noisy_accuracy, * knee  o front  . other trials"
    found = {
        (mark, column, row)
        for row, line in enumerate(plot[:15])
        for column, mark in enumerate(line.partition("|")[2])
        if mark != " "
    }
    assert sorted(mark for mark, _, _ in found) == ["*", ".", "o", "o"]
    place = {mark: (column, row) for mark, column, row in found if mark != "o"}
    left, right = sorted((column, row) for mark, column, row in found if mark == "o")
    assert left[0] < place["."][0] < place["*"][0] < right[0]
    assert left[1] < place["*"][1] < place["."][1] < right[1]  # rows from the top
    # 0.1, 0.5, 0.8 and 0.9 on an axis: even steps are even columns
    assert (place["."][0] - left[0]) / (right[0] - left[0]) == pytest.approx(0.5, abs=0.03)
    assert (place["*"][0] - left[0]) / (right[0] - left[0]) == pytest.approx(0.875, abs=0.03)
    assert all(len(line) <= 60 for line in plot)


def test_nothing_to_draw() -> None:
    assert front_text(TrialLog(OBJECTIVES), "s") == ""
    assert front_text(make_log(30, objectives=Objectives([CLEAN])), "s") == ""


def test_trials_far_from_the_front_are_left_out() -> None:
    log = TrialLog(OBJECTIVES)
    for number, clean in enumerate((0.9, 0.89, 0.88)):
        log.trials[f"t{number}"] = make_trial(f"t{number}", clean, 0.5 + number / 100)
    log.trials["far"] = make_trial("far", 0.01, 0.01)
    marks = [line.partition("|")[2] for line in front_text(log, "s").splitlines()[1:13]]
    assert sorted("".join(marks).replace(" ", "")) == ["*", "o", "o"]

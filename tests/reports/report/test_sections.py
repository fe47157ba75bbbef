"""What the sections say, against numbers by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.records.make_log import CLEAN, NOISY, OBJECTIVES, START, make_log, make_trial
from tests.reports.report.pages import study_of
from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.reports.report import (
    comparison,
    confirmed,
    front,
    gains,
    learning,
    methods,
    settings,
)
from tunebox.reports.report.section import Section, Table
from tunebox.reports.report.study import Study

POINTS = [  # of methods: the first two have settings of their own
    ("a", "both", 0.9, 0.5),
    ("b", "both", 0.8, 0.8),
    ("c", "ours", 0.5, 0.9),
    ("d", "plain", 0.85, 0.3),
    ("e", "plain", 0.2, 0.2),
]


@pytest.fixture
def study() -> Study:
    log = TrialLog(OBJECTIVES)
    for number, (trial_id, method, clean, noisy) in enumerate(POINTS):
        trial = log.trials[trial_id] = make_trial(trial_id, clean, noisy, epochs=4)
        trial.settings = {"losses": method, "optimizer/lr": 0.1}
        if method != "plain":
            trial.settings[f"losses/{method}/weight"] = 0.5
        trial.start_time = START
        trial.end_time = START + 10 * (number + 1)
    return study_of(log)


def table(section: Section | None) -> list[dict[str, str]]:
    assert section is not None
    assert isinstance(section.table, Table)
    return [dict(zip(section.table.headings, row, strict=True)) for row in section.table.rows]


def test_the_front_in_words(study: Study) -> None:
    section = front.section(study)
    said = " ".join(section.sentences)
    assert "3 of 5 trials are on the front" in said
    assert "from a (90.00 % clean accuracy and 50.00 % noisy accuracy) to c (50.00 %" in said
    assert "The knee is b: it is 10.00 points from the best clean accuracy and 10.00 points" in said
    # ours reaches 50 % clean accuracy at most; there it has 90 %, both 80 % and plain 30 %
    assert "At 50.00 % clean accuracy, which every method reaches, ours comes to 90.00 %" in said
    assert "plain, the last, to 30.00 %: a difference of 60.00 points" in said
    picks = {row["trial"]: row["pick"] for row in table(section)}
    assert picks == {"a": "best clean accuracy", "b": "knee", "c": "best noisy accuracy"}


def test_each_trial_is_one_point_of_the_front(study: Study) -> None:
    study.log.trials["b"].state = TrialState.STOPPED
    study.log.trials["e"].state = TrialState.DIVERGED
    [figure] = front.section(study).figures
    drawn = [
        (key, x, y, trace)
        for trace in figure.data
        for key, x, y in zip(trace.get("customdata", ()), trace["x"], trace["y"], strict=False)
        if key is not None
    ]
    places = {key: (x, y) for key, x, y, _ in drawn}
    assert len(drawn) == 5
    assert places == {f"made-1/{name}": (clean, noisy) for name, _, clean, noisy in POINTS}
    looks = {key: (trace["name"], trace["marker"]["symbol"]) for key, _, _, trace in drawn}
    assert looks["made-1/a"][0] == looks["made-1/b"][0] == "both"
    assert looks["made-1/e"][0] == "diverged"
    symbols = {method: symbol for method, symbol in looks.values()}
    assert len(set(symbols.values())) == len(symbols)
    [line] = [trace for trace in figure.data if trace["mode"] == "lines"]
    corners = list(zip(line["x"], line["y"], strict=True))
    assert corners == [(0.9, 0.5), (0.8, 0.5), (0.8, 0.8), (0.5, 0.8), (0.5, 0.9)]


def test_a_stopped_trial_is_open_and_a_finished_one_filled(study: Study) -> None:
    study.log.trials["e"].state = TrialState.STOPPED
    [figure] = front.section(study).figures
    symbols = {
        key: trace["marker"]["symbol"]
        for trace in figure.data
        for key in trace.get("customdata", ())
    }
    assert symbols["made-1/e"] == f"{symbols['made-1/d']}-open"


def test_methods_compared(study: Study) -> None:
    section = methods.section(study)
    rows = {row["method"]: row for row in table(section)}
    assert list(rows) == ["both", "ours", "plain"]
    # up to (0, 0.1): both 0.9 * 0.4 + 0.8 * 0.3, ours 0.5 * 0.8
    assert rows["both"]["hypervolume alone"] == "0.6000"
    assert rows["ours"]["hypervolume alone"] == "0.4000"
    # all: both and ours' step of 0.5 * 0.1; without both: 0.85 * 0.2 + 0.5 * 0.6
    assert rows["ours"]["lost without it"] == "0.0500"
    assert rows["both"]["lost without it"] == "0.1800"
    assert rows["plain"]["lost without it"] == "0.0000"
    assert section is not None
    said = " ".join(section.sentences)
    assert "both alone reaches 92.3 % of the hypervolume" in said
    assert "Without both the front would lose 27.7 %" in said
    assert "No trial of plain is on the front." in said


def test_one_method_is_not_compared(study: Study) -> None:
    for trial in study.log.trials.values():
        trial.settings = {"optimizer/lr": 0.1}
    assert methods.section(Study("x", study.log)) is None


def test_growth_of_the_hypervolume(study: Study) -> None:
    taken = gains.steps(study)
    # reports come in the first seconds, four epochs of five trials; then the trials end
    assert [step.seconds for step in taken] == [0, 10, 20, 30, 50]
    assert [step.volume for step in taken] == pytest.approx([0, 0.36, 0.6, 0.65, 0.65])
    assert taken[-1].epochs == study.log.epochs_spent == 20


def test_the_progress_says_what_the_model_expects(study: Study) -> None:
    trials = study.log.trials
    trials |= {f"{n}": replace(trials["e"], trial_id=f"{n}") for n in range(8)}
    without = gains.section(study)
    for trial in trials.values():
        trial.expected_gain = 0.0013
    section = gains.section(study)
    assert section is not None
    assert without is not None
    said = (
        "The model expects 100 epochs more to raise the hypervolume 0.65 by 0.0013 (0.002 of it)."
    )
    assert said in section.sentences
    assert said not in without.sentences


def test_all_epochs_are_accounted_for() -> None:
    study = study_of(make_log(40))
    section = learning.section(study)
    assert section is not None
    bars = section.figures[-1].data
    assert sum(x for trace in bars for x in trace["x"]) == study.log.epochs_spent
    of_front = next(trace for trace in bars if trace["name"] == "on the front")
    assert sum(of_front["x"]) == sum(trial.epochs for trial in study.front)


def test_curves_are_thinned_and_keep_the_last_report() -> None:
    history = make_trial("a", 0.5, 0.5, epochs=500).history
    kept = learning.thinned(history)
    assert len(kept) <= 60
    assert kept[-1] is history[-1]
    assert learning.thinned(history[:50]) == history[:50]


def test_slices_and_parallel_lines_have_the_trials(study: Study) -> None:
    study = study_of(make_log(60))
    section = settings.slice_section(study)
    assert section is not None
    keys = {key for trace in section.figures[0].data for key in trace.get("customdata", ())}
    leaf = study.main_leaves[0].path
    expected = {study.key(t) for t in study.comparable.trials if leaf in t.settings}
    assert keys - {None} == expected
    section = settings.parallel_section(study)
    assert section is not None
    heights = [y for trace in section.figures[0].data for y in trace["y"] if y is not None]
    assert 0 <= min(heights) <= max(heights) <= 1


def test_hypervolumes_only_where_they_can_be_compared(study: Study) -> None:
    far = Objectives([CLEAN, Objective(NOISY.name, maximize=True, reference=-9.0)])
    log = TrialLog(far)
    log.trials = dict(study.log.trials)
    smaller = TrialLog(OBJECTIVES)
    smaller.trials = {"a": study.log.trials["a"]}
    section = comparison.section([study, Study("small-1", smaller), Study("far-1", log)])
    assert [row["hypervolume"] for row in table(section)] == ["0.6500", "0.3600", "-"]
    said = " ".join(section.sentences)
    assert "The hypervolumes of far-1 are left out" in said
    assert "made-1 has the largest hypervolume of 2 searches, 44.6 % above small-1" in said
    [figure] = section.figures  # its fronts have the same axes
    assert {trace["name"] for trace in figure.data if "customdata" in trace} == {
        *("made-1", "small-1", "far-1"),
    }


def _estimates(*values: float) -> dict[str, Estimate]:
    return {
        name: Estimate(value, 0.02) for name, value in zip(OBJECTIVES.names, values, strict=True)
    }


def _confirmed() -> Confirmed:
    """b alone is better than thought; a and c cannot be told apart; c has collapsed once."""
    rows = [
        ("b", 3, 0, (0.8, 0.8), (0.82, 0.83), True, True, ()),
        ("c", 2, 1, (0.5, 0.9), (0.5, 0.85), True, False, ("a",)),
        ("a", 1, 0, (0.9, 0.5), (0.6, 0.5), False, False, ()),
    ]
    trials = [
        ConfirmedTrial(
            trial_id,
            num_seeds,
            num_collapsed,
            dict(zip(OBJECTIVES.names, searched, strict=True)),
            _estimates(*means)
            if num_seeds > 1
            else {
                name: Estimate(value, math.nan)
                for name, value in zip(OBJECTIVES.names, means, strict=True)
            },
            {"clean_accuracy": Estimate(means[0] - 0.01, 0.03)},
            dict(zip(OBJECTIVES.names, means, strict=True)),
            0.5,
            on_front,
            is_knee,
            alike,
        )
        for trial_id, num_seeds, num_collapsed, searched, means, on_front, is_knee, alike in rows
    ]
    too_good = {"clean_accuracy": Estimate(0.093, 0.01), "noisy_accuracy": Estimate(-0.004, 0.02)}
    return Confirmed(trials, Estimate(0.61, 0.01), too_good, {}, OBJECTIVES.names)


def test_new_seeds_in_words(study: Study) -> None:
    assert confirmed.section(study) is None
    section = confirmed.section(replace(study, confirmed=_confirmed()))
    assert section is not None
    said = " ".join(section.sentences)
    assert "3 trials were trained again with 6 new seeds in all; 2 of them are on the front" in said
    assert "with hypervolume 0.6100 ± 0.0100. The knee is b." in said
    assert (
        "were 9.30 points too good in clean accuracy (± 1.00 points) and 0.40 points too bad"
        in (said)
    )
    assert "Neighbours that cannot be told apart: a and c." in said
    assert "Seeds of c collapsed or diverged." in said
    rows = table(section)
    assert [row["trial"] for row in rows] == ["b", "c", "a"]
    assert rows[0]["clean accuracy"] == "82.00 ± 2.00 %"
    assert rows[0]["on test"] == "81.00 ± 3.00 %"
    assert rows[1]["seeds"] == "2, 1 collapsed"
    assert rows[2]["noisy accuracy"] == "50.00 % (one seed)"


def test_bars_are_intervals_and_lines_come_from_the_numbers_of_the_search(study: Study) -> None:
    section = confirmed.section(replace(study, confirmed=_confirmed()))
    assert section is not None
    [figure] = section.figures
    drawn = {
        (key, trace["x"][i], trace["y"][i], trace["error_x"]["array"][i])
        for trace in figure.data
        if "customdata" in trace
        for i, key in enumerate(trace["customdata"])
    }
    assert drawn == {
        ("made-1/b", 0.82, 0.83, 0.02),
        ("made-1/c", 0.5, 0.85, 0.02),
        ("made-1/a", 0.6, 0.5, 0.0),  # one seed has no interval
    }
    lines = next(trace for trace in figure.data if trace["mode"] == "lines")
    assert lines["x"][:3] == [0.8, 0.82, None]

"""What surrounds the points of the front: its box, the baseline, names, and the card of a trial."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from tests.records.make_log import CLEAN, NOISY, OBJECTIVES, make_log, make_trial
from tests.reports.report.pages import study_of
from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
from tunebox.decisions.trials import TrialLog
from tunebox.pareto.objectives import Objective
from tunebox.reports.report import front
from tunebox.reports.report.extent import reference_box, whole_box
from tunebox.reports.report.study import Study
from tunebox.reports.report.trials import card


def log_of(points: dict[str, tuple[float, float]]) -> TrialLog:
    log = TrialLog(OBJECTIVES)
    for name, (clean, noisy) in points.items():
        log.trials[name] = make_trial(name, clean, noisy)
    return log


def area(path: str) -> float:
    """The area of a polygon, by the sum of Gauss."""
    x_y = [tuple(map(float, pair)) for pair in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
    pairs = zip(x_y, [*x_y[1:], x_y[0]], strict=True)
    return abs(sum(a * d - b * c for (a, b), (c, d) in pairs)) / 2


def test_the_shaded_region_has_the_area_of_the_hypervolume() -> None:
    log = log_of({"a": (0.9, 0.5), "b": (0.8, 0.8), "c": (0.5, 0.9), "d": (0.2, 0.2)})
    dominated, box = reference_box(log.front(), CLEAN, NOISY)["shapes"]
    assert area(dominated["path"]) == pytest.approx(log.hypervolume())
    assert (box["x0"], box["y0"], box["x1"], box["y1"]) == (0.0, 0.1, 0.9, 0.9)
    shown = whole_box(log.front(), CLEAN, NOISY)
    assert shown is not None
    assert shown["xaxis.range"] == pytest.approx([-0.045, 0.945])


def test_no_box_without_a_trial_that_is_better_than_the_reference() -> None:
    log = log_of({"a": (0.9, 0.05)})
    assert reference_box(log.front(), CLEAN, NOISY) == {"shapes": []}
    assert whole_box(log.front(), CLEAN, NOISY) is None


def test_lower_values_can_be_better() -> None:
    error = Objective("clean_accuracy", maximize=False, reference=1.0)
    log = log_of({"a": (0.2, 0.5), "b": (0.4, 0.8)})
    dominated, _ = reference_box(list(log.trials.values()), error, NOISY)["shapes"]
    assert area(dominated["path"]) == pytest.approx(0.8 * 0.4 + 0.6 * 0.3)


def test_the_baseline_is_the_method_without_settings_of_its_own() -> None:
    study = study_of(make_log(60))
    assert study.baseline == "clean_only"
    [figure] = front.section(study).figures
    [line] = [trace for trace in figure.data if trace.get("name") == "baseline"]
    points = {(round(x, 3), round(y, 3)) for x, y in zip(line["x"], line["y"], strict=True)}
    for trial in study.front_of("clean_only"):
        last = trial.last_metrics
        assert (round(last["clean_accuracy"], 3), round(last["noisy_accuracy"], 3)) in points
    assert Study("made-1", study.log).baseline is None


@pytest.mark.parametrize("gap", [0.001, 0.1])
def test_names_stay_apart_where_points_are_close(gap: float) -> None:
    log = log_of(
        {"a": (0.9, 0.5), "b": (0.9 - gap, 0.5 + 1.5 * gap), "c": (0.9 - 2 * gap, 0.5 + 2 * gap)}
    )
    log.trials["far"] = make_trial("far", 0.3, 0.1)
    [figure] = front.section(Study("made-1", log)).figures
    named = {text["text"]: text for text in figure.layout["annotations"]}
    assert set(named) == {"best clean accuracy: a", "★ knee: b", "best noisy accuracy: c"}
    lifts = [named[text]["ay"] for text in sorted(named)]
    assert len(set(lifts)) == 3


def test_the_card_of_a_trial_says_how_far_its_numbers_hold() -> None:
    study = study_of(log_of({"a": (0.9, 0.5), "b": (0.5, 0.9), "same": (0.9, 0.5)}))
    a = study.log.trials["a"]
    said = card(study, a)
    assert "of one training, on the validation set" in said
    assert "equal in all objectives to same" in said
    mean, unsure = Estimate(0.82, 0.02), Estimate(0.4, math.nan)
    means = {"clean_accuracy": mean, "noisy_accuracy": unsure}
    row = ConfirmedTrial("a", 3, 0, {}, means, {"clean_accuracy": mean}, {}, 0.75, alike=("b",))
    said = card(replace(study, confirmed=Confirmed([row], unsure, {})), a)
    assert "3 new seeds gave 82.00 ± 2.00 % clean accuracy" in said
    assert "On the test set: 82.00 ± 2.00 % clean accuracy." in said
    assert "with probability 75 %" in said
    assert "cannot be told apart from b" in said

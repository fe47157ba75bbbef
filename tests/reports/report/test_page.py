from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from tests.records.make_log import OBJECTIVES, make_log
from tests.reports.report.pages import SOME_OBJECTIVES, data_of, study_of, unpacked
from tunebox.decisions.trials import TrialLog
from tunebox.pareto.constraints import Constraint, Constraints
from tunebox.pareto.objectives import Objectives
from tunebox.reports.report.page import report_page, write_report


@pytest.fixture
def _without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the library, which takes a second to pack."""
    monkeypatch.setattr("tunebox.reports.report.page.packed_library", lambda: "library")


def resolved(value: Any, theme: dict[str, str]) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return theme[value[1:]]
    if isinstance(value, dict):
        return {key: resolved(inner, theme) for key, inner in value.items()}
    return [resolved(inner, theme) for inner in value] if isinstance(value, list) else value


def figures(data: dict[str, Any]) -> list[dict[str, Any]]:
    sections = [section for group in data["groups"] for section in group["sections"]]
    return [figure for section in sections for figure in section["figures"]]


@pytest.mark.usefixtures("_without_library")
@pytest.mark.parametrize("objectives", SOME_OBJECTIVES, ids=len)
@pytest.mark.parametrize("num_trials", [0, 1, 2, 3, 40])
def test_plotly_knows_all_that_is_drawn(objectives: Objectives, num_trials: int) -> None:
    data = data_of(report_page([study_of(make_log(num_trials, objectives=objectives))]))
    for figure in figures(data):
        for theme in data["themes"].values():
            traces, layout = resolved(figure["data"], theme), resolved(figure["layout"], theme)
            drawn = go.Figure(traces, layout)  # raises for what plotly does not know
            for view in figure["views"]:
                drawn.update_layout(**{k.replace(".", "_"): v for k, v in view["layout"].items()})
                assert all(len(values) == len(traces) for values in view["data"].values())
        for trace in figure["data"]:
            assert set(trace.get("customdata", [])) - {None} <= set(data["trials"])
    assert len(data["trials"]) == num_trials


@pytest.mark.usefixtures("_without_library")
def test_every_trial_has_settings_metrics_a_curve_and_its_command() -> None:
    log = make_log(30)
    data = data_of(report_page([study_of(log)]))
    for trial in log.trials.values():
        shown = data["trials"][f"made-1/{trial.trial_id}"]
        assert shown["command"].startswith(f"tunebox export made-1 --pick {trial.trial_id} --to ")
        assert shown["settings"] == {
            path: pytest.approx(value, rel=1e-3) if isinstance(value, float) else value
            for path, value in trial.settings.items()
        }
        curve = [report.metrics["noisy_accuracy"] for report in trial.history]
        assert shown["curves"]["noisy_accuracy"] == pytest.approx(curve, rel=1e-3)
        assert shown["epoch"] == [report.epoch for report in trial.history]
        last = trial.last_metrics["clean_accuracy"]
        assert shown["metrics"]["clean_accuracy"] == pytest.approx(last, rel=1e-3)


@pytest.mark.usefixtures("_without_library")
def test_all_sections_are_there_and_say_something() -> None:
    [group] = data_of(report_page([study_of(make_log(60))]))["groups"]
    assert group["summary"].startswith("Which is best? 60 trials (")
    titles = [section["title"] for section in group["sections"]]
    assert titles == [
        *("Front", "Methods", "Importance of the settings", "Slices"),
        *("Contours", "Parallel coordinates", "Learning", "Progress"),
    ]
    for section in group["sections"]:
        assert section["figures"]
        assert all(len(sentence) > 20 for sentence in section["sentences"])


@pytest.mark.usefixtures("_without_library")
def test_no_trial_keeps_the_constraints() -> None:
    log = make_log(20)
    log.constraints = Constraints([Constraint("clean_accuracy", 2.0, None)])
    [group] = data_of(report_page([study_of(log)]))["groups"]
    said = " ".join(group["sections"][0]["sentences"])
    assert "no trial keeps the constraints clean_accuracy >= 2" in said


@pytest.mark.usefixtures("_without_library")
def test_several_searches_are_compared_first() -> None:
    studies = [study_of(make_log(20), "one-1"), study_of(make_log(20, seed=1), "two-1")]
    groups = data_of(report_page(studies))["groups"]
    assert [group["title"] for group in groups] == ["Comparison", "one-1", "two-1"]


def test_the_page_needs_no_other_file_and_is_small(tmp_path: Path) -> None:
    write_report([study_of(make_log(), "<b>")], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert len(page) < 2_500_000
    assert "<title>&lt;b&gt;: report of tunebox</title>" in page
    assert "http" not in page
    assert "src=" not in page
    assert "Plotly" in unpacked(page, "plotly")
    json.dumps(data_of(page), allow_nan=False)


@pytest.mark.slow
def test_a_report_of_5000_trials_is_below_3_megabytes() -> None:
    log = make_log(5000)
    page = report_page([study_of(log)])
    assert len(page) < 3_000_000
    assert len(data_of(page)["trials"]) == 5000


def test_a_report_of_no_trials_says_so() -> None:
    [group] = data_of(report_page([study_of(TrialLog(OBJECTIVES))]))["groups"]
    [section] = group["sections"][:1]
    assert section["sentences"] == ["There is no front yet: no trial ended as it should."]
    assert section["figures"] == []

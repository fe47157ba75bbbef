from pathlib import Path

import pytest

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_log
from tunebox.pareto.objectives import Objective, Objectives
from tunebox.records.front_image import write_front_png
from tunebox.records.front_plot import front_figure, write_front_html
from tunebox.trials import TrialLog

SOME_OBJECTIVES = [
    Objectives([CLEAN]),
    OBJECTIVES,
    Objectives([CLEAN, NOISY, LOSS]),
    Objectives([LOSS, CLEAN, NOISY, Objective("train_seconds", maximize=False, reference=100)]),
]
PNG = b"\x89PNG"


@pytest.mark.parametrize("objectives", SOME_OBJECTIVES, ids=len)
@pytest.mark.parametrize("num_trials", [0, 1, 2, 3, 40])
def test_every_log_can_be_drawn(objectives: Objectives, num_trials: int, tmp_path: Path) -> None:
    log = make_log(num_trials, objectives=objectives)
    figure = front_figure(log, "s-1")
    traces = [trace for trace in figure.data if trace.mode == "markers"]
    drawn = [x for trace in traces for x in trace.x if x is not None]
    assert len(drawn) == sum(trial.can_be_on_front for trial in log.trials.values())
    write_front_png(log, "s-1", tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(PNG)


def test_the_pointer_shows_trial_settings_and_metrics() -> None:
    log = make_log(30)
    trial = log.front()[0]
    texts = [text for trace in front_figure(log, "s").data for text in trace.text or ()]
    [text] = [text for text in texts if f"<b>{trial.trial_id}</b>" in text]
    for expected in (*trial.settings, *trial.last_metrics, trial.state.value):
        assert expected in text


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    write_front_html(make_log(), "s-1", tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text(encoding="utf-8")
    assert "<title>s-1: front</title>" in page
    assert "src=" not in page.split("<body>")[0]
    assert '<script src="http' not in page
    assert len(page) > 1_000_000  # the library is inside
    assert [path.name for path in tmp_path.iterdir()] == ["front.html"]


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    log = make_log(12)
    for trial in log.trials.values():
        trial.settings["losses"] = "<script>$x$"
    page = front_figure(log, "a_b").to_html(include_plotlyjs=False)
    assert "<script>$x$" not in page
    write_front_png(log, "$a_b", tmp_path / "front.png")


def test_an_empty_front_says_so() -> None:
    assert "0 trials, 0 on the front" in front_figure(TrialLog(OBJECTIVES), "s").layout.title.text

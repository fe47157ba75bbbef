from pathlib import Path

import pytest

from tests.records.make_log import make_log
from tests.reports.report.pages import SOME_OBJECTIVES
from tunebox.pareto.objectives import Objectives
from tunebox.reports.front_image import write_front_png

PNG = b"\x89PNG"


@pytest.mark.slow
@pytest.mark.parametrize("objectives", SOME_OBJECTIVES, ids=len)
@pytest.mark.parametrize("num_trials", [0, 1, 2, 3, 40])
def test_every_log_can_be_drawn(objectives: Objectives, num_trials: int, tmp_path: Path) -> None:
    log = make_log(num_trials, objectives=objectives)
    write_front_png(log, "s-1", tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(PNG)


def test_names_are_text_not_formulas(tmp_path: Path) -> None:
    log = make_log(12)
    for trial in log.trials.values():
        trial.settings["losses"] = "<script>$x$"
    write_front_png(log, "$a_b", tmp_path / "front.png")

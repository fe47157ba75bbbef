from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.contrast import contrast
from tests.records.make_log import make_log
from tests.reports.report.pages import SOME_OBJECTIVES
from tunebox.pareto.objectives import Objectives
from tunebox.records.evaluation_table import StoredRow
from tunebox.reports.evaluation_picture import write_evaluation_picture
from tunebox.reports.front_image import write_front_png

PNG = b"\x89PNG"


@pytest.mark.slow
@pytest.mark.parametrize("objectives", SOME_OBJECTIVES, ids=len)
@pytest.mark.parametrize("num_trials", [0, 1, 2, 3, 40])
def test_every_log_can_be_drawn(objectives: Objectives, num_trials: int, tmp_path: Path) -> None:
    log = make_log(num_trials, objectives=objectives)
    write_front_png(log, "s-1", tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(PNG)


def test_texts_of_pictures_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(
        FigureCanvasAgg, "print_figure", lambda self, *_, **__: drawn.append(self.figure)
    )
    for objectives in SOME_OBJECTIVES:
        write_front_png(make_log(20, objectives=objectives), "s-1", tmp_path / "front.png")
    rows = [StoredRow("clean", "none", 0.0, 0.9, 0.3), StoredRow("gaussian", "std", 0.1, 0.8, 0.6)]
    write_evaluation_picture(tmp_path, rows)
    texts = [text for figure in drawn for text in figure.findobj(Text) if text.get_text()]
    assert len(drawn) == len(SOME_OBJECTIVES) + 1
    assert len(texts) > 20
    for text in texts:
        assert contrast(to_hex(text.get_color()), "#FFFFFF") >= 4.5, text.get_text()


def test_names_are_text_not_formulas(tmp_path: Path) -> None:
    log = make_log(12)
    for trial in log.trials.values():
        trial.settings["losses"] = "<script>$x$"
    write_front_png(log, "$a_b", tmp_path / "front.png")

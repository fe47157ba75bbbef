"""The results of ``tunebox evaluate`` as a picture in the model's folder."""

from collections.abc import Sequence
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.evaluation_table import EvaluationRow
from tunebox.records.files import replacing
from tunebox.reports.plot_text import matplotlib_text

PICTURE_FILE = "evaluation.png"
_MOST_COLUMNS = 6


def write_evaluation_picture(folder: Path, rows: Sequence[EvaluationRow]) -> Path:
    """Draw accuracies over strengths into the model's folder, and return the picture's path.

    Raises:
        RecordsError: The folder cannot be written.
    """
    path = folder / PICTURE_FILE
    try:
        _draw(rows, folder.name, path)
    except OSError as error:
        raise RecordsError(f"{folder} cannot be written: {error.strerror or error}") from error
    return path


def _draw(rows: Sequence[EvaluationRow], name: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    kinds = list(dict.fromkeys(row.perturbation for row in rows if row.strength_name != "none"))
    clean = next((row.accuracy for row in rows if row.perturbation == "clean"), None)
    num_panels = max(1, len(kinds))  # a panel each: their strengths have different units
    num_columns = min(num_panels, _MOST_COLUMNS)
    num_rows = -(-num_panels // num_columns)
    size = (2.2 + 2.4 * num_columns, 0.6 + 3.0 * num_rows)
    figure = Figure(figsize=size, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False).flatten()
    for panel in panels[num_panels:]:
        panel.set_axis_off()
    for panel, kind in zip(panels[:num_panels], kinds or ["clean"], strict=True):
        points = sorted((r.strength, r.accuracy) for r in rows if r.perturbation == kind)
        panel.plot([x for x, _ in points], [y for _, y in points], "o-", color="#0072B2")
        if clean is not None:
            panel.axhline(clean, color="#7F7F7F", linestyle="--", linewidth=1, label="clean")
        panel.set_title(matplotlib_text(kind.replace("_", " ")), fontsize=9)
        strength = next((r.strength_name for r in rows if r.perturbation == kind), "")
        panel.set_xlabel(matplotlib_text(strength))
        panel.grid(color="#E5E5E5", linewidth=0.8)
    for panel in panels[::num_columns]:
        panel.set_ylabel("accuracy on the test set")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    panels[0].set_ylim(0, 1.02)
    if clean is not None:
        panels[0].legend(fontsize=8)
    figure.suptitle(matplotlib_text(name), fontsize=11, fontweight="bold")
    with replacing(path) as temporary:
        canvas.print_figure(str(temporary), format="png", dpi=150)

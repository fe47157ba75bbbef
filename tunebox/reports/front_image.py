"""The front as a picture, with the content of the page but without hover texts."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tunebox.decisions.trials import TrialLog
from tunebox.records.files import replacing
from tunebox.reports.front_view import Axis, FrontView, front_view
from tunebox.reports.methods import ONE_GROUP
from tunebox.reports.plot_text import matplotlib_text
from tunebox.reports.report.palette import COLOURS

_COLOURS = COLOURS["light"]
_MARKERS = ("o", "s", "D", "^", "v", "p", "h", "*")  # the shapes of the report


def write_front_png(log: TrialLog, name: str, path: Path) -> None:
    """Draw the front of ``log``, a search called ``name``, and write it in one step."""
    view = front_view(log, name)
    # no pyplot: its figures are global, and its backend may look for a display
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_dominated(axes, view)
    _draw_front(figure, axes, view, log)
    _label(figure, axes, view)
    with replacing(path) as temporary:
        canvas.print_figure(str(temporary), format="png", dpi=150)


def _draw_dominated(axes: Axes, view: FrontView) -> None:
    for index, group in enumerate(view.groups):
        points = [p for p in view.points if p.group == group and not p.on_front]
        one_group = group == ONE_GROUP
        axes.scatter(
            [point.x for point in points],
            [point.y for point in points],
            s=18,
            color="#9A9A9A" if one_group else _COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            alpha=0.45,
            linewidths=0,
            label="not on the front" if one_group else matplotlib_text(group),
        )


def _draw_front(figure: Figure, axes: Axes, view: FrontView, log: TrialLog) -> None:
    """Draw the front: the shape is the method, the colour too, or the third objective."""
    axes.plot([x for x, _ in view.line], [y for _, y in view.line], color="#222222", lw=1.2)
    third = log.objectives.names[2] if len(log.objectives) > 2 else None
    values = [p.trial.last_metrics[third] for p in view.points if p.on_front and third]
    for index, group in enumerate(view.groups):
        points = [point for point in view.points if point.on_front and point.group == group]
        look: dict[str, Any] = {"s": 55, "edgecolors": "#222222", "linewidths": 1.1, "zorder": 3}
        look["marker"] = _MARKERS[index % len(_MARKERS)]
        look["c"] = _COLOURS[index % len(_COLOURS)]
        if third is not None and points:
            look |= {"cmap": "viridis", "vmin": min(values), "vmax": max(values)}
            look["c"] = [point.trial.last_metrics[third] for point in points]
        drawn = axes.scatter([p.x for p in points], [p.y for p in points], **look)
    if third is not None and values:
        figure.colorbar(
            drawn, ax=axes, label=f"{matplotlib_text(third.replace('_', ' '))} on the front"
        )
    front: dict[str, Any] = {"marker": "o", "s": 55, "c": "#FFFFFF", "edgecolors": "#222222"}
    axes.scatter([], [], label="on the front", **front)


def _label(figure: Figure, axes: Axes, view: FrontView) -> None:
    note = f"; {view.num_outside} trials lie outside" if view.num_outside else ""
    figure.suptitle(matplotlib_text(view.title), fontsize=12, fontweight="bold")
    axes.set_title(view.subtitle + note, fontsize=9, color="#555555")
    _label_axis(axes, "x", view.x)
    _label_axis(axes, "y", view.y)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not view.points:
        axes.text(0.5, 0.5, "no trial has ended yet", transform=axes.transAxes, ha="center")
        return
    legend = figure.legend(
        loc="outside right upper",
        title=matplotlib_text(view.group_title),
        fontsize=9,
        frameon=False,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def _label_axis(axes: Axes, which: str, axis: Axis) -> None:
    getattr(axes, f"set_{which}label")(matplotlib_text(axis.title))
    if axis.is_share:
        getattr(axes, f"{which}axis").set_major_formatter(PercentFormatter(1.0))
    if axis.range is not None:
        getattr(axes, f"set_{which}lim")(axis.range)

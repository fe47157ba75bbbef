"""The front as a picture: the content of the page without its pointer."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tunebox.records.files import replacing
from tunebox.records.front_view import ONE_GROUP, PALETTE, Axis, FrontView, front_view
from tunebox.trials import TrialLog


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
            s=16,
            color="#9A9A9A" if one_group else PALETTE[index % len(PALETTE)],
            alpha=0.4,
            linewidths=0,
            label="not on the front" if one_group else group,
        )


def _draw_front(figure: Figure, axes: Axes, view: FrontView, log: TrialLog) -> None:
    axes.plot([x for x, _ in view.line], [y for _, y in view.line], color="#222222", lw=1.2)
    front = [point for point in view.points if point.on_front]
    colours = {group: PALETTE[i % len(PALETTE)] for i, group in enumerate(view.groups)}
    look: dict[str, Any] = {"s": 55, "edgecolors": "#222222", "linewidths": 1.1, "zorder": 3}
    x, y = [point.x for point in front], [point.y for point in front]
    if len(log.objectives) > 2 and front:
        third = log.objectives.names[2]
        colour = [point.trial.last_metrics[third] for point in front]
        drawn = axes.scatter(x, y, c=colour, cmap="viridis", label="front", **look)
        figure.colorbar(drawn, ax=axes, label=third.replace("_", " "))
    else:
        axes.scatter(x, y, c=[colours[point.group] for point in front], label="front", **look)


def _label(figure: Figure, axes: Axes, view: FrontView) -> None:
    note = f"; {view.num_outside} trials lie outside" if view.num_outside else ""
    figure.suptitle(_plain(view.title), fontsize=12, fontweight="bold")
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
        loc="outside right upper", title=_plain(view.group_title), fontsize=9, frameon=False
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def _label_axis(axes: Axes, which: str, axis: Axis) -> None:
    getattr(axes, f"set_{which}label")(_plain(axis.title))
    if axis.is_share:
        getattr(axes, f"{which}axis").set_major_formatter(PercentFormatter(1.0))
    if axis.range is not None:
        getattr(axes, f"set_{which}lim")(axis.range)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # matplotlib would read formulas between dollars

"""The front as a page: a scatter of all trials, with settings and metrics under the pointer."""

from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from tunebox.records.files import write_text
from tunebox.records.front_view import ONE_GROUP, PALETTE, Axis, FrontView, Point, front_view
from tunebox.trials import TrialLog


def front_figure(log: TrialLog, name: str) -> go.Figure:
    """Return the figure of the front of ``log``, a search called ``name``.

    All trials that ended as they should, coloured by the branch they took; with three or more
    objectives the colour of the front is the third. An empty log gives empty axes.
    """
    view = front_view(log, name)
    figure = go.Figure()
    colours = {group: PALETTE[i % len(PALETTE)] for i, group in enumerate(view.groups)}
    for group, colour in colours.items():
        dominated = [p for p in view.points if p.group == group and not p.on_front]
        figure.add_trace(_dominated_trace(dominated, group, colour))
    if view.line:
        figure.add_trace(_line_trace(view))
    front = [point for point in view.points if point.on_front]
    figure.add_trace(_front_trace(front, log, [colours[p.group] for p in front]))
    note = f"; {view.num_outside} trials outside, double click shows all" * bool(view.num_outside)
    figure.update_layout(
        title={"text": escape(view.title), "subtitle": {"text": view.subtitle + note}},
        template="plotly_white",
        hoverlabel={"align": "left"},
        legend={"title": {"text": escape(view.group_title)}, "itemsizing": "constant"},
        xaxis=_axis_layout(view.x),
        yaxis=_axis_layout(view.y),
    )
    return figure


def write_front_html(log: TrialLog, name: str, path: Path) -> None:
    """Write the figure as a page that opens without a network, in one step."""
    page = front_figure(log, name).to_html(
        include_plotlyjs=True, full_html=True, config={"displaylogo": False, "responsive": True}
    )
    title = f"<head><title>{escape(name)}: front</title>"
    write_text(path, page.replace("<head>", title, 1))


def _dominated_trace(points: list[Point], group: str, colour: str) -> go.Scatter:
    # A point that is not drawn where there is none: a trace without points would be missing in
    # the legend, though the branch is on the front in this colour.
    places: list[tuple[float | None, float | None]] = [(p.x, p.y) for p in points] or [(None, None)]
    return go.Scatter(
        x=[x for x, _ in places],
        y=[y for _, y in places],
        mode="markers",
        name=escape("not on the front" if group == ONE_GROUP else group),
        marker={"size": 6, "color": "#9A9A9A" if group == ONE_GROUP else colour, "opacity": 0.45},
        text=[_hover(point) for point in points],
        hoverinfo="text",
        showlegend=True,
    )


def _line_trace(view: FrontView) -> go.Scatter:
    return go.Scatter(
        x=[x for x, _ in view.line],
        y=[y for _, y in view.line],
        mode="lines",
        line={"color": "#222222", "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )


def _front_trace(points: list[Point], log: TrialLog, colours: list[str]) -> go.Scatter:
    marker: dict[str, Any] = {
        "size": 11,
        "color": colours,
        "line": {"color": "#222222", "width": 1.5},
    }
    if len(log.objectives) > 2:
        third = log.objectives.names[2]
        marker["color"] = [point.trial.last_metrics[third] for point in points]
        marker["colorscale"] = "Viridis"
        marker["colorbar"] = {"title": {"text": third.replace("_", " ")}, "x": 1.15}
        marker["showscale"] = bool(points)
    return go.Scatter(
        x=[point.x for point in points],
        y=[point.y for point in points],
        mode="markers",
        name="front",
        marker=marker,
        text=[_hover(point) for point in points],
        hoverinfo="text",
    )


def _axis_layout(axis: Axis) -> dict[str, Any]:
    layout: dict[str, Any] = {"title": {"text": escape(axis.title)}, "zeroline": False}
    if axis.is_share:
        layout["tickformat"] = ".1~%"
    if axis.range is not None:
        layout["range"] = list(axis.range)
    return layout


def _hover(point: Point) -> str:
    trial = point.trial
    lines = [f"<b>{escape(trial.trial_id)}</b>, {trial.state.value} after {trial.epochs} epochs"]
    lines += [f"{escape(name)}: {value:.5g}" for name, value in trial.last_metrics.items()]
    lines.append("")
    lines += [f"{escape(path)}: {_shown(value)}" for path, value in trial.settings.items()]
    return "<br>".join(lines)


def _shown(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else escape(str(value))

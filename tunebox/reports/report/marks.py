"""Trials as points and lines of a figure: colour and shape by method, filling by how they ended."""

from collections.abc import Callable, Sequence
from typing import Any

from tunebox.decisions.trials import TrialRecord, TrialState
from tunebox.reports.report.palette import INK, MUTED, colour, shape
from tunebox.reports.report.section import Trace
from tunebox.reports.report.study import Study

Place = Callable[[TrialRecord], tuple[Any, Any] | None]  # x and y; None leaves a trial out

_ENDS = {  # the marks of trials without a result, at their last finite report
    TrialState.DIVERGED: "x-thin",
    TrialState.COLLAPSED: "x-thin",
    TrialState.FAILED: "cross-thin",
}


def trial_traces(study: Study, trials: Sequence[TrialRecord], place: Place) -> list[Trace]:
    """Return trials as points: finished ones filled, stopped ones open, the front outlined.

    Methods are in the legend with their colours and shapes; further entries explain the rest.
    """
    traces: list[Trace] = []
    for number, method in enumerate(study.methods):
        of_method = [t for t in trials if study.method(t) == method and study.log.has_result(t)]
        rest = [t for t in of_method if t.trial_id not in study.front_ids]
        finished = [t for t in rest if t.state is TrialState.FINISHED]
        stopped = [t for t in rest if t.state is not TrialState.FINISHED]
        look = {"color": colour(number), "symbol": shape(number), "size": 8, "opacity": 0.8}
        hollow = {**look, "symbol": f"{shape(number)}-open", "line": {"width": 1.5}}
        line = {"color": INK, "width": 1.5}
        outlined = {**look, "size": 12, "opacity": 1.0, "line": line}
        front = [t for t in of_method if t.trial_id in study.front_ids]
        group = {"legendgroup": method, "name": method}
        traces.append(_points(study, finished, place, look) | group | {"showlegend": True})
        traces.append(_points(study, stopped, place, hollow) | group)
        traces.append(_points(study, front, place, outlined) | group)
    return [*traces, *_without_result(study, trials, place), *_legend(study, trials)]


def _points(study: Study, trials: Sequence[TrialRecord], place: Place, marker: Trace) -> Trace:
    placed = [(trial, xy) for trial in trials if (xy := place(trial)) is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        # a trace without points would be missing in the legend
        "x": [xy[0] for _, xy in placed] or [None],
        "y": [xy[1] for _, xy in placed] or [None],
        "customdata": [study.key(trial) for trial, _ in placed] or [None],
        "marker": marker,
        "showlegend": False,
        "hovertemplate": "<b>%{customdata}</b><br>%{xaxis.title.text}: %{x}"
        "<br>%{yaxis.title.text}: %{y}",
    }


def _without_result(study: Study, trials: Sequence[TrialRecord], place: Place) -> list[Trace]:
    """Return the trials that cannot be on the front, in grey, by why they cannot."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in trials:
        if not study.log.has_result(trial):
            kept = trial.can_be_on_front
            groups.setdefault("breaks a constraint" if kept else trial.state.value, []).append(
                trial
            )
    traces = []
    for name, members in groups.items():
        symbol = next((s for state, s in _ENDS.items() if state.value == name), "asterisk")
        marker = {"symbol": f"{symbol}-open", "color": MUTED, "size": 8}
        marker["line"] = {"width": 1.5, "color": MUTED}
        trace = _points(study, members, place, marker)
        if trace["customdata"] != [None]:
            traces.append(trace | {"name": name, "showlegend": True})
    return traces


def _legend(study: Study, trials: Sequence[TrialRecord]) -> list[Trace]:
    """Return entries of the legend that say what open and outlined marks are."""
    marks = {}
    if any(trial.state is TrialState.STOPPED for trial in trials):
        marks["stopped early"] = {"symbol": "circle-open", "color": INK, "size": 7}
    if study.front:
        line = {"color": INK, "width": 1.5}
        marks["on the front"] = {"symbol": "circle", "color": MUTED, "size": 12, "line": line}
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [None],
            "y": [None],
            "name": name,
            "marker": marker,
            "hoverinfo": "skip",
        }
        for name, marker in marks.items()
    ]


def lines_by_method(
    study: Study,
    trials: Sequence[TrialRecord],
    points: Callable[[TrialRecord], tuple[Sequence[object], Sequence[object]]],
) -> list[Trace]:
    """Return a line a trial: thin ones of each method, then those of the front in bold.

    Args:
        study: The search.
        trials: Whose lines.
        points: The x and y of the points of a trial's line.
    """
    traces = []
    for is_front in (False, True):
        for number, method in enumerate(study.methods):
            members = [
                trial
                for trial in trials
                if study.method(trial) == method and (trial.trial_id in study.front_ids) is is_front
            ]
            if members:
                trace = _line_trace(study, members, points)
                width = {"line": {"color": colour(number), "width": 3.5 if is_front else 1}}
                group = {"name": method, "legendgroup": method, "showlegend": False}
                traces.append(trace | width | group | {"opacity": 1.0 if is_front else 0.35})
    return [*traces, *_legend_of_lines(study)]


def _legend_of_lines(study: Study) -> list[Trace]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [None],
            "y": [None],
            "name": method,
            "legendgroup": method,
            "line": {"color": colour(number), "width": 2.5},
        }
        for number, method in enumerate(study.methods)
    ]


def _line_trace(
    study: Study,
    trials: Sequence[TrialRecord],
    points: Callable[[TrialRecord], tuple[Sequence[object], Sequence[object]]],
) -> Trace:
    x: list[object] = []
    y: list[object] = []
    keys: list[str | None] = []
    for trial in trials:
        across, up = points(trial)
        x += [*across, None]
        y += [*up, None]
        keys += [*([study.key(trial)] * len(across)), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x or [None],
        "y": y or [None],
        "customdata": keys or [None],
        "hovertemplate": "<b>%{customdata}</b><br>%{x}: %{y}",
    }

"""The confirmed front: means over new seeds with intervals, and the numbers of the search."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
from tunebox.pareto.objectives import Objective
from tunebox.reports.confirmed_cells import cells, headings
from tunebox.reports.report.palette import INK, MUTED, colour, shape
from tunebox.reports.report.section import Figure, Section, Table, Trace
from tunebox.reports.report.study import Study, axis_of, count, difference, rounded, words


def section(study: Study) -> Section | None:
    """Return the confirmed front of ``study``, None if it was not confirmed."""
    result = study.confirmed
    if result is None:
        return None
    pairs = list(itertools.combinations(study.log.objectives, 2))
    figures = [_plane(study, result, x, y) for x, y in pairs]
    for figure in figures[1:]:  # the marks are the same in each
        figure.layout["showlegend"] = False
    return Section("Confirmed front", sentences(result), figures, _table(study, result))


def sentences(result: Confirmed) -> list[str]:
    """Return what the new seeds say."""
    front = result.front
    num_seeds = sum(trial.num_seeds for trial in result.trials)
    knee = next(trial.trial_id for trial in front if trial.is_knee)
    volume = result.hypervolume
    width = f" ± {volume.half_width:.4f}" if math.isfinite(volume.half_width) else ""
    lines = [
        f"{count(len(result.trials), 'trial')} {_was(len(result.trials))} trained again with "
        f"{count(num_seeds, 'new seed')} in all; {len(front)} of them "
        f"{'is' if len(front) == 1 else 'are'} on the front, with hypervolume "
        f"{volume.value:.4f}{width}. The knee is {knee}.",
    ]
    lines += _optimism("", result.too_good)
    lines += _optimism(" on the test set", result.too_good_on_test)
    lines += _alike(result)
    collapsed = [trial.trial_id for trial in result.trials if trial.num_collapsed]
    if collapsed:
        lines.append(f"Seeds of {', '.join(collapsed)} collapsed or diverged.")
    return lines


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _optimism(where: str, gaps: Mapping[str, Estimate]) -> list[str]:
    if not gaps:
        return []
    each = [
        f"{difference(name, gap.value)} too {'good' if gap.value >= 0 else 'bad'} in {words(name)}"
        + (f" (± {difference(name, gap.half_width)})" if math.isfinite(gap.half_width) else "")
        for name, gap in gaps.items()
    ]
    return [f"The search's own numbers of its front were{where} {' and '.join(each)}."]


def _alike(result: Confirmed) -> list[str]:
    if result.alike_pairs:
        said = ", ".join(" and ".join(pair) for pair in result.alike_pairs)
        return [f"Neighbours that cannot be told apart: {said}."]
    return ["All neighbours on the front can be told apart."] if len(result.front) > 1 else []


def _plane(study: Study, result: Confirmed, x: Objective, y: Objective) -> Figure:
    known = study.log.objectives.only_known
    traces = [_moves(result, x.name, y.name)]
    for number, method in enumerate(study.methods):
        members = [t for t in result.trials if _method(study, t) == method]
        for on_front in (False, True):
            shown = [trial for trial in members if trial.on_front is on_front]
            if shown:
                traces.append(_points(study, shown, x.name, y.name, number, on_front))
        traces.append(_entry(method, {"symbol": shape(number), "color": colour(number)}))
    outlined = {"symbol": "circle", "color": MUTED, "line": {"color": INK, "width": 1.5}}
    traces.append(_entry("on the front", {**outlined, "size": 12}))
    layout = {"xaxis": axis_of(x, only_known=known), "yaxis": axis_of(y, only_known=known)}
    label = f"means over new seeds with 95 % intervals: {words(x.name)} against {words(y.name)}"
    return Figure(label, traces, layout, is_wide=len(study.log.objectives) == 2)


def _method(study: Study, trial: ConfirmedTrial) -> str:
    return study.method(study.log.trials[trial.trial_id])


def _points(
    study: Study,
    trials: Sequence[ConfirmedTrial],
    x: str,
    y: str,
    number: int,
    on_front: bool,
) -> Trace:
    look: dict[str, Any] = {"color": colour(number), "symbol": shape(number), "size": 8}
    if on_front:
        look |= {"size": 12, "line": {"color": INK, "width": 1.5}}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded(trial.means[x].value) for trial in trials],
        "y": [rounded(trial.means[y].value) for trial in trials],
        "error_x": _bars(trials, x, number, on_front),
        "error_y": _bars(trials, y, number, on_front),
        "customdata": [f"{study.name}/{trial.trial_id}" for trial in trials],
        "marker": look,
        "opacity": 1.0 if on_front else 0.55,
        "showlegend": False,
        "hovertemplate": "<b>%{customdata}</b><br>%{xaxis.title.text}: %{x}"
        "<br>%{yaxis.title.text}: %{y}",
    }


def _bars(
    trials: Sequence[ConfirmedTrial], name: str, number: int, on_front: bool
) -> dict[str, Any]:
    widths = [trial.means[name].half_width for trial in trials]
    thickness = 1.5 if on_front else 1
    array = [rounded(width) if math.isfinite(width) else 0.0 for width in widths]
    return {"array": array, "color": colour(number), "thickness": thickness, "width": 3}


def _moves(result: Confirmed, x: str, y: str) -> Trace:
    """Return a line from each trial's number in the search to its mean."""
    across: list[float | None] = []
    up: list[float | None] = []
    for trial in result.trials:
        if trial.searched:
            across += [rounded(trial.searched[x]), rounded(trial.means[x].value), None]
            up += [rounded(trial.searched[y]), rounded(trial.means[y].value), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": across or [None],
        "y": up or [None],
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "name": "from the number in the search",
    }


def _entry(name: str, marker: dict[str, Any]) -> Trace:
    nowhere = {"type": "scatter", "mode": "markers", "x": [None], "y": [None]}
    return {**nowhere, "name": name, "marker": {"size": 8, **marker}, "hoverinfo": "skip"}


def _table(study: Study, result: Confirmed) -> Table:
    rows = [cells(result, trial) for trial in result.trials]
    keys = [f"{study.name}/{trial.trial_id}" for trial in result.trials]
    return Table([words(heading) for heading in headings(result)], rows, keys)

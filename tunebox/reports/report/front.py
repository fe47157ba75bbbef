"""The front: all trials in the plane of two objectives, or over time for one."""

import itertools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tunebox.decisions.trials import TrialRecord, why_no_front
from tunebox.pareto.objectives import Objective
from tunebox.reports.format import format_metric
from tunebox.reports.front_view import shown_range
from tunebox.reports.report.extent import reference_box, whole_box, with_margin
from tunebox.reports.report.labels import labels
from tunebox.reports.report.marks import Place, trial_traces
from tunebox.reports.report.palette import INK, MUTED
from tunebox.reports.report.section import Figure, Section, Table, Trace, View
from tunebox.reports.report.study import Study, axis_of, best_of, count, difference, rounded, words


def section(study: Study) -> Section:
    """Return the front of ``study``."""
    if not study.front:
        reason = why_no_front(study.log)
        return Section("Front", [f"There is no front yet: {reason}."])
    pairs = list(itertools.combinations(study.log.objectives, 2))
    figures = [_plane(study, x, y) for x, y in pairs] or [_history(study)]
    for figure in figures[1:]:  # the marks are the same in each
        figure.layout["showlegend"] = False
    return Section("Front", sentences(study), figures, _table(study))


def sentences(study: Study) -> list[str]:
    """Return what the front says."""
    objectives, log = list(study.log.objectives), study.log
    start = f"{len(study.front)} of {count(len(log.trials), 'trial')}"
    first = study.front[0]
    if len(objectives) == 1:
        return [f"The best of {count(len(log.trials), 'trial')} is {_named(study, first)}."]
    lines = [f"{start} {'is' if len(study.front) == 1 else 'are'} on the front."]
    if len(objectives) == 2 and len(study.front) > 1:
        last = study.front[-1]
        lines[0] = (
            f"{start} are on the front, from {_named(study, first)} to {_named(study, last)}."
        )
    if study.knee is not None and len(study.front) > 2:
        lines.append(_about_knee(study, study.knee))
    if len(objectives) == 2:
        lines += _about_methods(study)
    equal = sum(bool(log.equals(trial.trial_id)) for trial in study.front)
    if equal:
        lines.append(f"{count(equal, 'trial')} of the front equals others in all objectives.")
    where = "" if log.objectives.only_known else " and measured on the validation set"
    lines.append(f"Each trial was trained once{where}: small differences can be chance.")
    return lines


def _named(study: Study, trial: TrialRecord) -> str:
    values = " and ".join(
        f"{format_metric(name, trial.last_metrics[name])} {words(name)}"
        for name in study.log.objectives.names
    )
    return f"{trial.trial_id} ({values})"


def _about_knee(study: Study, knee: TrialRecord) -> str:
    losses = []
    for objective in study.log.objectives:
        best = best_of(study.front, objective).last_metrics[objective.name]
        gap = difference(objective.name, best - knee.last_metrics[objective.name])
        losses.append(f"{gap} from the best {words(objective.name)}")
    return f"The knee is {knee.trial_id}: it is {' and '.join(losses)} of the front."


def _about_methods(study: Study) -> list[str]:
    """Return how the methods differ in the second objective where all reach the first.

    The best is compared with the baseline, where there is one that is not the best itself.
    """
    first, second = study.log.objectives
    members = {method: study.with_result(method) for method in study.methods}
    members = {method: trials for method, trials in members.items() if trials}
    if len(members) < 2:
        return []
    sign = 1.0 if first.maximize else -1.0
    level = sign * min(
        sign * best_of(trials, first).last_metrics[first.name] for trials in members.values()
    )
    reached = {
        method: best_of(
            [t for t in trials if sign * t.last_metrics[first.name] >= sign * level], second
        ).last_metrics[second.name]
        for method, trials in members.items()
    }
    by_value = sorted(reached, key=lambda method: reached[method], reverse=second.maximize)
    best, other, role = by_value[0], by_value[-1], "the last"
    if study.baseline in reached and study.baseline != best:
        other, role = study.baseline, "the baseline"
    return [
        f"At {format_metric(first.name, level)} {words(first.name)}, which every method reaches, "
        f"{best} comes to {format_metric(second.name, reached[best])} {words(second.name)} and "
        f"{other}, {role}, to {format_metric(second.name, reached[other])}: a difference of "
        f"{difference(second.name, reached[best] - reached[other])}."
    ]


def _plane(study: Study, x: Objective, y: Objective) -> Figure:
    def place(trial: TrialRecord) -> tuple[Any, Any] | None:
        for report in reversed(trial.history):
            across, up = report.metrics.get(x.name), report.metrics.get(y.name)
            if across is not None and up is not None and math.isfinite(across + up):
                return rounded(across), rounded(up)
        return None

    known, is_alone = study.log.objectives.only_known, len(study.log.objectives) == 2
    around = _around_front(study, x, y)
    layout = {
        "xaxis": axis_of(x, only_known=known),
        "yaxis": axis_of(y, only_known=known),
        **labels(study, place, x, y, around["xaxis.range"]),
    }
    trials = list(study.log.trials.values())
    traces = trial_traces(study, trials, place)
    placed = [xy for trial in trials if (xy := place(trial)) is not None]
    everything = {
        f"{axis}.range": with_margin([float(xy[number]) for xy in placed])
        for number, axis in enumerate(("xaxis", "yaxis"))
    }
    views = [View("Front", layout=around), View("All trials", layout=everything)]
    if is_alone:
        traces = [edge(study.front, x, y), *_baseline(study, x, y), *traces]
        layout |= reference_box(study.front, x, y)
        box = whole_box(study.front, x, y)
        views += [] if box is None else [View("Hypervolume", layout=box)]
    label = f"{words(x.name)} against {words(y.name)} of all trials"
    return Figure(label, traces, layout, views, is_wide=is_alone, can_select=True)


def _baseline(study: Study, x: Objective, y: Objective) -> list[Trace]:
    """Return the edge of the baseline's own front, where the search has a baseline."""
    if study.baseline is None or not (front := study.front_of(study.baseline)):
        return []
    line = {"color": MUTED, "width": 1.5, "dash": "dash"}
    return [edge(front, x, y) | {"line": line, "name": "baseline", "showlegend": True}]


def edge(front: Sequence[TrialRecord], x: Objective, y: Objective) -> Trace:
    """Return the edge of what a front of two objectives dominates, as a line with corners."""
    points = [(t.last_metrics[x.name], t.last_metrics[y.name]) for t in front]
    corners = points[:1]
    for before, after in pairwise(points):
        # along the front x gets worse and y better: what both dominate ends at the worse of each
        corners += [(after[0], before[1]), after]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [rounded(corner[0]) for corner in corners],
        "y": [rounded(corner[1]) for corner in corners],
        "line": {"color": INK, "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _around_front(
    study: Study, x: Objective, y: Objective
) -> dict[str, tuple[float, float] | None]:
    trials = study.with_result()
    leaders = [
        best_of(members, objective)
        for method in study.methods
        if (members := study.with_result(method))
        for objective in (x, y)
    ]
    ranges: dict[str, tuple[float, float] | None] = {}
    for axis, objective in (("xaxis", x), ("yaxis", y)):
        groups = [
            [t.last_metrics[objective.name] for t in g] for g in (trials, study.front, leaders)
        ]
        ranges[f"{axis}.range"] = shown_range(*groups)
    return ranges


def _history(study: Study) -> Figure:
    [objective] = study.log.objectives
    numbers = {trial_id: n for n, trial_id in enumerate(study.log.trials, start=1)}

    def place(trial: TrialRecord) -> tuple[Any, Any] | None:
        value = trial.last_metrics.get(objective.name, math.nan)
        return (numbers[trial.trial_id], rounded(value)) if math.isfinite(value) else None

    trials = list(study.log.trials.values())
    best_so_far = _best_so_far(study, objective, place)
    layout = {
        "xaxis": {"title": {"text": "trial"}},
        "yaxis": axis_of(objective, only_known=study.log.objectives.only_known),
        **labels(study, place, None, objective, None),
    }
    traces = [best_so_far, *trial_traces(study, trials, place)]
    return Figure(f"{words(objective.name)} of all trials in order", traces, layout, is_wide=True)


def _best_so_far(study: Study, objective: Objective, place: Place) -> Trace:
    places = [xy for trial in study.with_result() if (xy := place(trial)) is not None]
    better = max if objective.maximize else min
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in places],
        "y": list(itertools.accumulate((y for _, y in places), better)),
        "line": {"color": INK, "width": 1.5, "shape": "hv"},
        "hoverinfo": "skip",
        "name": "best so far",
    }


def _table(study: Study) -> Table:
    names = study.log.objectives.names
    headings = ["trial", *(words(name) for name in names), "epochs", "method", "pick"]
    if study.branch is None:
        headings.remove("method")
    rows = []
    for trial in study.front:
        row = [trial.trial_id, *(format_metric(name, trial.last_metrics[name]) for name in names)]
        row.append(str(trial.epochs))
        if study.branch is not None:
            row.append(study.method(trial))
        rows.append([*row, ", ".join(study.picks.get(trial.trial_id, []))])
    return Table(headings, rows, [study.key(trial) for trial in study.front])

"""The methods compared: each one's own front, and what it adds to the whole."""

import numpy as np

from tunebox.decisions.trials import TrialRecord, TrialState
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray
from tunebox.reports.format import format_metric
from tunebox.reports.report.front import edge
from tunebox.reports.report.palette import colour, shape
from tunebox.reports.report.section import Figure, Section, Table, Trace
from tunebox.reports.report.study import Study, axis_of, best_of, count, rounded, words


def section(study: Study) -> Section | None:
    """Return the comparison of the methods, None where there are fewer than two."""
    if len(study.methods) < 2 or not study.front:
        return None
    whole = study.log.hypervolume()
    alone = {method: _volume(study, study.with_result(method)) for method in study.methods}
    lost = {method: whole - _volume_without(study, method) for method in study.methods}
    figures = [_fronts(study)] if len(study.log.objectives) == 2 else []
    return Section(
        "Methods", _sentences(study, whole, alone, lost), figures, _table(study, alone, lost)
    )


def _costs(study: Study, trials: list[TrialRecord]) -> FloatArray:
    return np.array([study.log.objectives.costs(trial.last_metrics) for trial in trials])


def _volume(study: Study, trials: list[TrialRecord]) -> float:
    if not trials:
        return 0.0
    return hypervolume(_costs(study, trials), study.log.objectives.reference_costs)


def _volume_without(study: Study, method: str) -> float:
    return _volume(study, [t for t in study.with_result() if study.method(t) != method])


def _sentences(
    study: Study, whole: float, alone: dict[str, float], lost: dict[str, float]
) -> list[str]:
    if whole <= 0:
        return ["No trial is better than the reference point, so no method has a hypervolume."]
    best = max(alone, key=lambda method: alone[method])
    lines = [
        f"{best} alone reaches {100 * alone[best] / whole:.1f} % of the hypervolume of all methods "
        f"together, the most of {count(len(alone), 'method')}."
    ]
    needed = max(lost, key=lambda method: lost[method])
    on_front = {study.method(trial) for trial in study.front}
    lines.append(
        f"Without {needed} the front would lose {100 * lost[needed] / whole:.1f} % of it, more "
        "than without any other."
    )
    absent = [method for method in study.methods if method not in on_front]
    if absent:
        lines.append(f"No trial of {' or '.join(absent)} is on the front.")
    return lines


def _fronts(study: Study) -> Figure:
    x, y = study.log.objectives
    traces: list[Trace] = []
    for number, method in enumerate(study.methods):
        front = study.front_of(method)
        line = edge(front, x, y) | {"line": {"color": colour(number), "width": 1.5}}
        traces.append(line | {"legendgroup": method})
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [rounded(t.last_metrics[x.name]) for t in front] or [None],
                "y": [rounded(t.last_metrics[y.name]) for t in front] or [None],
                "customdata": [study.key(trial) for trial in front] or [None],
                "name": method,
                "legendgroup": method,
                "marker": {"color": colour(number), "symbol": shape(number), "size": 9},
                "hovertemplate": "<b>%{customdata}</b><br>%{x}, %{y}",
            }
        )
    known = study.log.objectives.only_known
    layout = {"xaxis": axis_of(x, only_known=known), "yaxis": axis_of(y, only_known=known)}
    return Figure("the front of each method", traces, layout, is_wide=True)


def _table(study: Study, alone: dict[str, float], lost: dict[str, float]) -> Table:
    objectives = list(study.log.objectives)
    headings = ["method", "trials", "finished", "on the front"]
    headings += [f"best {words(objective.name)}" for objective in objectives]
    headings += ["hypervolume alone", "lost without it"]
    rows = []
    for method in study.methods:
        trials = [t for t in study.log.trials.values() if study.method(t) == method]
        results = study.with_result(method)
        row = [method, str(len(trials))]
        row.append(str(sum(trial.state is TrialState.FINISHED for trial in trials)))
        row.append(str(sum(study.method(trial) == method for trial in study.front)))
        for objective in objectives:
            name = objective.name
            best = best_of(results, objective).last_metrics[name] if results else None
            row.append("-" if best is None else format_metric(name, best))
        rows.append([*row, f"{alone[method]:.4f}", f"{lost[method]:.4f}"])
    return Table(headings, rows)

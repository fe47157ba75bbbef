"""Several searches side by side."""

from collections.abc import Sequence

from tunebox.reports.format import format_metric
from tunebox.reports.report.front import edge
from tunebox.reports.report.palette import colour, shape
from tunebox.reports.report.section import Figure, Section, Table, Trace
from tunebox.reports.report.study import Study, axis_of, best_of, rounded, words


def section(studies: Sequence[Study]) -> Section:
    """Return the fronts of several searches in one picture, as far as they can be compared."""
    first = studies[0]
    alike = [s for s in studies if _directions(s) == _directions(first)]
    same = [s for s in studies if tuple(s.log.objectives) == tuple(first.log.objectives)]
    unlike = [study.name for study in studies if study not in same]
    lines = []
    if unlike:
        lines.append(
            f"The hypervolumes of {', '.join(unlike)} are left out: the objectives or references "
            f"are not those of {first.name}."
        )
    best = max(same, key=lambda study: study.log.hypervolume())
    others = [study for study in same if study is not best]
    if others and best.log.hypervolume() > 0:
        second = max(others, key=lambda study: study.log.hypervolume())
        gain = best.log.hypervolume() - second.log.hypervolume()
        lines.append(
            f"{best.name} has the largest hypervolume of {len(same)} searches, "
            f"{100 * gain / best.log.hypervolume():.1f} % above {second.name}; it trained "
            f"{best.log.epochs_spent:,} epochs, {second.name} {second.log.epochs_spent:,}."
        )
    figures = [_fronts(alike)] if len(first.log.objectives) == 2 and len(alike) > 1 else []
    return Section("Searches", lines, figures, _table(studies, same))


def _directions(study: Study) -> list[tuple[str, bool]]:
    return [(objective.name, objective.maximize) for objective in study.log.objectives]


def _fronts(studies: Sequence[Study]) -> Figure:
    x, y = studies[0].log.objectives
    traces: list[Trace] = []
    for number, study in enumerate(studies):
        line = {"line": {"color": colour(number), "width": 1.5}, "legendgroup": study.name}
        traces.append(edge(study.front, x, y) | line)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [rounded(t.last_metrics[x.name]) for t in study.front] or [None],
                "y": [rounded(t.last_metrics[y.name]) for t in study.front] or [None],
                "customdata": [study.key(trial) for trial in study.front] or [None],
                "name": study.name,
                "legendgroup": study.name,
                "marker": {"color": colour(number), "symbol": shape(number), "size": 10},
                "hovertemplate": "<b>%{customdata}</b><br>%{x}, %{y}",
            }
        )
    known = any(study.log.objectives.only_known for study in studies)
    layout = {"xaxis": axis_of(x, only_known=known), "yaxis": axis_of(y, only_known=known)}
    return Figure("the fronts of the searches", traces, layout, is_wide=True)


def _table(studies: Sequence[Study], same: Sequence[Study]) -> Table:
    objectives = list(studies[0].log.objectives)
    headings = ["search", "trials", "epochs", "on the front", "hypervolume"]
    headings += [f"best {words(objective.name)}" for objective in objectives]
    rows = []
    for study in studies:
        log = study.log
        row = [study.name, str(len(log.trials)), str(log.epochs_spent), str(len(study.front))]
        row.append(f"{log.hypervolume():.4f}" if study in same else "-")
        for objective in objectives:
            known = [t for t in study.front if objective.name in t.last_metrics]
            value = best_of(known, objective).last_metrics[objective.name] if known else None
            row.append("-" if value is None else format_metric(objective.name, value))
        rows.append(row)
    return Table(headings, rows)

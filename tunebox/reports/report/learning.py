"""How trials learned, and what the epochs were spent on."""

import math
from collections import Counter

from tunebox.decisions.trials import Report, TrialRecord, TrialState
from tunebox.pareto.objectives import Objective
from tunebox.reports.report.marks import lines_by_method
from tunebox.reports.report.palette import GRID, INK, MUTED, colour
from tunebox.reports.report.section import Figure, Section, Trace
from tunebox.reports.report.study import Study, axis_of, count, rounded, words

_NUM_CURVES = 250
_NUM_POINTS = 60  # of a curve

_USES = {  # of epochs, in the order of the bars
    "on the front": INK,
    "finished": MUTED,
    "stopped early": GRID,
    "diverged or failed": colour(4),
    "unfinished": "@background",
}


def section(study: Study) -> Section | None:
    """Return the learning curves and the use of epochs, None before the first report."""
    trials = [trial for trial in study.log.trials.values() if trial.history]
    if not trials:
        return None
    shown = study.sample(trials, _NUM_CURVES)
    lines = _sentences(study, trials)
    if len(shown) < len(trials):
        lines.append(f"{len(shown)} of {count(len(trials), 'curve')} are shown.")
    figures = [_curves(study, objective, shown) for objective in study.log.objectives]
    return Section("Learning", lines, [*figures, _uses(study, trials)])


def thinned(history: list[Report]) -> list[Report]:
    """Return at most about `_NUM_POINTS` reports, evenly spaced, with the last one."""
    step = math.ceil(len(history) / _NUM_POINTS)
    return history[::-1][::step][::-1] if step > 1 else history


def rungs(study: Study) -> list[int]:
    """Return the epochs after which trials were stopped."""
    stopped = [t for t in study.log.trials.values() if t.state is TrialState.STOPPED]
    return sorted({trial.epochs for trial in stopped if trial.epochs})


def _sentences(study: Study, trials: list[TrialRecord]) -> list[str]:
    spent = study.log.epochs_spent
    parts = Counter[str]()
    for trial in trials:
        parts[_use(study, trial)] += trial.epochs
    shares = [f"{100 * parts[use] / spent:.0f} % {use}" for use in _USES if parts[use]]
    lines = [f"Of {count(spent, 'epoch')}, trials spent: {', '.join(shares)}."]
    at = rungs(study)
    if at:
        stops = Counter(t.epochs for t in trials if t.state is TrialState.STOPPED)
        each = [f"{stops[epoch]} at epoch {epoch}" for epoch in at[:6]]
        more = " and later" if len(at) > 6 else ""
        lines.append(f"Early stopping ended {', '.join(each)}{more}.")
    late = [change for trial in study.front if (change := _improves_late(study, trial)) is not None]
    if late:
        still = sum(late)
        lines.append(
            f"{still or 'None'} of {count(len(late), 'trial')} on the front still improved an "
            f"objective by more than 1 % over the last tenth of the epochs"
            f"{': a longer training may help.' if still > len(late) / 2 else '.'}"
        )
    return lines


def _improves_late(study: Study, trial: TrialRecord) -> bool | None:
    """Return whether an objective improved by 1 % over the last tenth, None for short trainings."""
    if len(trial.history) < 10:
        return None
    before = trial.history[-1 - len(trial.history) // 10].metrics
    for objective in study.log.objectives:
        if objective.name in before:
            gain = trial.last_metrics[objective.name] - before[objective.name]
            gain = gain if objective.maximize else -gain
            if gain > 0.01 * abs(before[objective.name]):
                return True
    return False


def _use(study: Study, trial: TrialRecord) -> str:
    if trial.trial_id in study.front_ids:
        return "on the front"
    names = {
        TrialState.FINISHED: "finished",
        TrialState.STOPPED: "stopped early",
        TrialState.DIVERGED: "diverged or failed",
        TrialState.COLLAPSED: "diverged or failed",
        TrialState.FAILED: "diverged or failed",
    }
    return names.get(trial.state, "unfinished")


def _curves(study: Study, objective: Objective, trials: list[TrialRecord]) -> Figure:
    def points(trial: TrialRecord) -> tuple[list[object], list[object]]:
        reports = [r for r in thinned(trial.history) if objective.name in r.metrics]
        return [r.epoch for r in reports], [rounded(r.metrics[objective.name]) for r in reports]

    line = {"color": MUTED, "width": 1, "dash": "dot"}
    layout = {
        "xaxis": {"title": {"text": "epoch (dotted: trials were stopped)"}},
        "yaxis": axis_of(objective, only_known=study.log.objectives.only_known),
        "shapes": [
            {"type": "line", "x0": e, "x1": e, "y0": 0, "y1": 1, "yref": "paper", "line": line}
            for e in rungs(study)[:20]
        ],
    }
    return Figure(
        f"{words(objective.name)} by epoch", lines_by_method(study, trials, points), layout
    )


def _uses(study: Study, trials: list[TrialRecord]) -> Figure:
    spent: dict[str, Counter[str]] = {use: Counter() for use in _USES}
    for trial in trials:
        spent[_use(study, trial)][study.method(trial)] += trial.epochs
    traces: list[Trace] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": use,
            "y": study.methods,
            "x": [by_method[method] for method in study.methods],
            "marker": {"color": _USES[use], "line": {"color": MUTED, "width": 1}},
            "hovertemplate": "%{y}: %{x} epochs<extra>" + use + "</extra>",
        }
        for use, by_method in spent.items()
        if by_method
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "epochs"}},
        "yaxis": {"automargin": True, "type": "category", "autorange": "reversed"},
    }
    return Figure("what the epochs were spent on, by method", traces, layout)

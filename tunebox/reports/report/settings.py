"""What the settings do: their importance, slices, and parallel coordinates."""

import math

from tunebox.decisions.importance import FRONT, MIN_TRIALS, Importance
from tunebox.decisions.trials import TrialRecord
from tunebox.pareto.objectives import Objective
from tunebox.reports.format import short_value
from tunebox.reports.report.marks import lines_by_method, trial_traces
from tunebox.reports.report.palette import INK, MUTED, colour
from tunebox.reports.report.section import Figure, Section, Trace, View
from tunebox.reports.report.study import Study, axis_of, count, is_share, rounded, words
from tunebox.spec.space import Leaf, Range

_MAX_BARS = 12
_MAX_SLICES = 6
_SLICE_TRIALS = 500
_LINE_TRIALS = 250
_MAX_AXES = 7


def importance_section(study: Study) -> Section | None:
    """Return the importance of the settings, None where nothing is searched."""
    if not study.leaves:
        return None
    values = study.comparable
    if not study.importances:
        reason = f"{count(len(values.trials), 'trial')} can be compared, {MIN_TRIALS} are needed"
        return Section("Importance of the settings", [f"It cannot be told yet: {reason}."])
    lines = [_about(study, importance) for importance in study.importances]
    lines.append(
        f"From {count(len(values.trials), 'trial')} by their values at epoch {values.epoch}, with "
        "PED-ANOVA: how far the best tenth differs from all in a setting. Settings of one branch "
        "count in that branch. The line on a bar is what chance alone can give."
    )
    figures = [_bars(study, importance) for importance in study.importances]
    return Section("Importance of the settings", lines, figures)


def _about(study: Study, importance: Importance) -> str:
    target = words(importance.target)
    if not importance.clear:
        return f"For {target} no setting stands out from chance."
    first = importance.clear[0]
    others = [study.names[path] for path in importance.clear[1:3]]
    more = f", then {' and '.join(others)}" if others else ""
    return (
        f"For {target} the setting that matters most is {study.names[first]}, with "
        f"{100 * importance.shares[first]:.0f} % of the importance "
        f"({100 * importance.chance[first]:.0f} % can be chance){more}."
    )


def _bars(study: Study, importance: Importance) -> Figure:
    paths = list(importance.shares)[:_MAX_BARS][::-1]  # the largest on top
    names = [study.names[path] for path in paths]
    is_clear = [path in importance.clear for path in paths]
    bars: Trace = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": [rounded(importance.shares[path]) for path in paths],
        "marker": {"color": [colour(0) if clear else MUTED for clear in is_clear]},
        "hovertemplate": "%{y}: %{x:.1%}<extra></extra>",
        "showlegend": False,
    }
    chance: Trace = {
        "type": "scatter",
        "mode": "markers",
        "y": names,
        "x": [rounded(min(1.0, importance.chance[path])) for path in paths],
        "marker": {"symbol": "line-ns-open", "size": 14, "color": INK, "line": {"width": 2}},
        "hovertemplate": "by chance up to %{x:.1%}<extra></extra>",
        "showlegend": False,
    }
    target = "the front" if importance.target == FRONT else words(importance.target)
    layout = {
        "xaxis": {
            "title": {"text": f"share for {target}"},
            "tickformat": ".0%",
            "rangemode": "tozero",
        },
        "yaxis": {"automargin": True, "type": "category"},
        "bargap": 0.35,
    }
    return Figure(f"importance of the settings for {target}", [bars, chance], layout)


def slice_section(study: Study) -> Section | None:
    """Return each objective over the settings that matter most, None without settings."""
    values = study.comparable
    if not study.leaves or len(values.trials) < 2:
        return None
    leaves = study.main_leaves[:_MAX_SLICES]
    trials = study.sample(values.trials, _SLICE_TRIALS)
    lines = [
        f"The values at epoch {values.epoch} over "
        f"{'the settings that matter most' if len(study.leaves) > len(leaves) else 'each setting'}."
    ]
    lines += [line for leaf in leaves[:1] for line in _trend(study, leaf)]
    if len(trials) < len(values.trials):
        lines.append(f"{len(trials)} of {count(len(values.trials), 'trial')} are shown.")
    return Section("Slices", lines, [_slice(study, leaf, trials) for leaf in leaves])


def _trend(study: Study, leaf: Leaf) -> list[str]:
    """Return where in the range of a setting the best tenth of the trials lies."""
    distribution = leaf.distribution
    objective = next(iter(study.log.objectives))
    pairs = [
        (report.metrics[objective.name], trial.settings[leaf.path])
        for trial, report in zip(study.comparable.trials, study.comparable.reports, strict=True)
        if leaf.path in trial.settings
    ]
    pairs.sort(key=lambda pair: pair[0], reverse=objective.maximize)
    best = [setting for _, setting in pairs[: max(5, len(pairs) // 10)]]
    if not best:
        return []
    start = f"The best {len(best)} trials in {words(objective.name)} have"
    name = study.names[leaf.path]
    if isinstance(distribution, Range):
        numbers = [float(value) for value in best if isinstance(value, int | float)]
        low, high = short_value(min(numbers)), short_value(max(numbers))
        ends = f"searched from {short_value(distribution.low)} to {short_value(distribution.high)}"
        return [f"{start} {name} from {low} to {high}; it is {ends}."]
    most = max(set(best), key=best.count)
    return [f"{start} {name} {short_value(most)} in {best.count(most)} cases."]


def _slice(study: Study, leaf: Leaf, trials: list[TrialRecord]) -> Figure:
    reports = {
        trial.trial_id: report
        for trial, report in zip(study.comparable.trials, study.comparable.reports, strict=True)
    }

    def traces_of(objective: Objective) -> list[Trace]:
        return trial_traces(
            study,
            trials,
            lambda trial: (
                (
                    _shown(trial, leaf),
                    rounded(reports[trial.trial_id].metrics[objective.name]),
                )
                if leaf.path in trial.settings
                else None
            ),
        )

    groups = [(objective, traces_of(objective)) for objective in study.log.objectives]
    known = study.log.objectives.only_known
    axis = {"title": {"text": study.names[leaf.path]}, **_axis_type(leaf)}
    views = []
    for objective, _ in groups:
        visible = [other is objective for other, traces in groups for _ in traces]
        up = axis_of(objective, only_known=known)
        layout = {
            "yaxis.title.text": up["title"]["text"],
            "yaxis.tickformat": up.get("tickformat", ""),
        }
        views.append(View(words(objective.name), {"visible": visible}, layout))
    traces = [
        trace | {"visible": number == 0, "showlegend": False}
        for number, (_, group) in enumerate(groups)
        for trace in group
    ]
    first = axis_of(groups[0][0], only_known=known)
    shown = views if len(views) > 1 else []
    return Figure(f"objectives over {leaf.path}", traces, {"xaxis": axis, "yaxis": first}, shown)


def _shown(trial: TrialRecord, leaf: Leaf) -> object:
    value = trial.settings[leaf.path]
    if isinstance(leaf.distribution, Range):
        return rounded(float(value)) if isinstance(value, int | float) else None
    return short_value(value)


def _axis_type(leaf: Leaf) -> dict[str, object]:
    if not isinstance(leaf.distribution, Range):
        options = [short_value(option) for option in leaf.distribution.options]
        return {"type": "category", "categoryorder": "array", "categoryarray": options}
    return {"type": "log" if leaf.distribution.log else "linear"}


def parallel_section(study: Study) -> Section | None:
    """Return the trials as lines through their settings and objectives."""
    results = study.with_result()
    if len(study.leaves) < 2 or len(results) < 2:
        return None
    # those of a branch last: beside each other, their gaps are wide
    leaves = sorted(study.main_leaves[:_MAX_AXES], key=lambda leaf: bool(leaf.condition))
    trials = study.sample(results, _LINE_TRIALS)
    lines = [
        "A line is a trial; those on the front are bold. A gap is a setting of another branch."
    ]
    same = _common(study, leaves)
    if same:
        lines.append(f"All trials of the front have {', '.join(same)}.")
    if len(trials) < len(results):
        lines.append(f"{len(trials)} of {count(len(results), 'trial')} are shown.")
    return Section("Parallel coordinates", lines, [_parallel(study, leaves, trials)])


def _common(study: Study, leaves: list[Leaf]) -> list[str]:
    """Return the settings that do not differ on the front, where it has several trials."""
    same = []
    for leaf in leaves:
        values = {trial.settings.get(leaf.path) for trial in study.front}
        if len(study.front) > 1 and len(values) == 1 and leaf.path in study.front[0].settings:
            same.append(f"{study.names[leaf.path]} {short_value(values.pop())}")
    return same


def _parallel(study: Study, leaves: list[Leaf], trials: list[TrialRecord]) -> Figure:
    objectives = list(study.log.objectives)
    names = [study.names[leaf.path] for leaf in leaves] + [words(o.name) for o in objectives]
    ranges = {}
    for objective in objectives:
        values = [trial.last_metrics[objective.name] for trial in trials]
        ranges[objective.name] = (min(values), max(values))

    def points(trial: TrialRecord) -> tuple[list[object], list[object]]:
        heights: list[object] = [_height(trial, leaf) for leaf in leaves]
        for objective in objectives:
            low, high = ranges[objective.name]
            value = trial.last_metrics[objective.name]
            heights.append(rounded((value - low) / (high - low)) if high > low else 0.5)
        return list(range(len(names))), heights

    traces = lines_by_method(study, trials, points)
    for trace in traces:
        trace["hovertemplate"] = "<b>%{customdata}</b>"
    ends = [_ends(leaf) for leaf in leaves]
    for objective in objectives:
        unit = 100.0 if is_share(objective.name) else 1.0
        sign = " %" if is_share(objective.name) else ""
        low, high = ranges[objective.name]
        ends.append((f"{unit * low:.3g}{sign}", f"{unit * high:.3g}{sign}"))
    layout = {
        "xaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "ticklabeloverflow": "allow",
            "range": [-0.4, len(names) - 0.6],
        },
        "yaxis": {"visible": False, "range": [-0.12, 1.12]},
        "annotations": [
            {"x": number, "y": y, "text": text, "showarrow": False, "font": {"size": 11}}
            for number, pair in enumerate(ends)
            for y, text in zip((-0.08, 1.08), pair, strict=True)
        ],
    }
    return Figure("settings and objectives of the trials", traces, layout, is_wide=True)


def _height(trial: TrialRecord, leaf: Leaf) -> float | None:
    """Return where the value of a setting is in its range, from 0 to 1."""
    value, distribution = trial.settings.get(leaf.path), leaf.distribution
    if leaf.path not in trial.settings:
        return None
    if not isinstance(distribution, Range):
        number = distribution.options.index(value)
        return rounded(number / max(1, len(distribution.options) - 1))
    assert isinstance(value, int | float)
    low, high = distribution.low, distribution.high
    if distribution.log:
        return rounded((math.log(value) - math.log(low)) / (math.log(high) - math.log(low)))
    return rounded((value - low) / (high - low))


def _ends(leaf: Leaf) -> tuple[str, str]:
    if isinstance(leaf.distribution, Range):
        return short_value(leaf.distribution.low), short_value(leaf.distribution.high)
    options = leaf.distribution.options
    return short_value(options[0]), short_value(options[-1]) if len(options) > 1 else ""

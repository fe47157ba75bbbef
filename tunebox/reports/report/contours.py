"""Each objective over the two settings that matter most, inside each method.

[Nadaraya1964] E. A. Nadaraya. On estimating regression. Theory of Probability and Its Applications
    9(1), 1964. (The weighted mean, equation 2.)
[Scott1992] D. W. Scott. Multivariate Density Estimation. Wiley, 1992. (The width of the weights:
    section 6.3.)

Shapes: N trials, G points of the grid on each axis.
"""

import math
from dataclasses import dataclass

import numpy as np

from tunebox.decisions.trials import Report, TrialRecord
from tunebox.pareto.objectives import FloatArray, Objective
from tunebox.reports.format import format_metric, short_value
from tunebox.reports.report.palette import INK
from tunebox.reports.report.section import Figure, Section, Table, Trace, View
from tunebox.reports.report.study import Study, is_share, rounded, words
from tunebox.spec.space import Leaf, Range

_MIN_TRIALS = 10
_GRID = 25
_SPREAD = 1 / math.sqrt(12)  # standard deviation of a setting over its whole range, [0, 1]
_LEAST_WEIGHT = 0.3  # a place further than about 1.5 widths from all trials stays empty


@dataclass(frozen=True)
class _Branch:
    """The trials of a method with a value of both settings."""

    method: str
    across: Leaf
    up: Leaf
    trials: list[TrialRecord]
    reports: list[Report]

    @property
    def places(self) -> FloatArray:
        """Where the trials are in the ranges of the settings, ``(N, 2)``, in [0, 1]."""
        return np.array(
            [[_height(t.settings[leaf.path], leaf) for leaf in self.leaves] for t in self.trials]
        )

    @property
    def leaves(self) -> tuple[Leaf, Leaf]:
        return self.across, self.up

    def grid_of(self, objective: Objective) -> FloatArray:
        """Return the objective, smoothed over the trials, ``(G, G)``: rows go up."""
        values = np.array([report.metrics[objective.name] for report in self.reports])
        return smoothed(self.places, values, _GRID)


def section(study: Study) -> Section | None:
    """Return the contours, None where no method has enough trials that can be compared."""
    branches = [found for method in study.methods if (found := _branch(study, method))]
    if not branches:
        return None
    epoch = study.comparable.epoch
    lines = [
        f"The objectives at epoch {epoch}, smoothed over the trials of a method, by the two of its "
        "settings with the largest importance. Where there are no trials near, nothing is drawn.",
        *_absent(study, branches),
    ]
    figures = [_figure(study, branch) for branch in branches]
    return Section("Contours", lines, figures, _table(study, branches))


def smoothed(places: FloatArray, values: FloatArray, size: int) -> FloatArray:
    """Return the mean of the values near each point of a grid over the unit square.

    Weights are Gaussian [Nadaraya1964], of the width that Scott's rule [Scott1992] gives for
    evenly spread places.

    Args:
        places: ``(N, 2)``, in [0, 1].
        values: ``(N,)``.
        size: Number G of points on each axis.

    Returns:
        ``(G, G)``: the first index is the second coordinate. NaN where no place is near.
    """
    width = _SPREAD * len(values) ** (-1 / 6)
    ticks = np.linspace(0.0, 1.0, size)
    across = (ticks[:, None] - places[None, :, 0]) ** 2  # (G, N)
    up = (ticks[:, None] - places[None, :, 1]) ** 2
    weights = np.exp(-(up[:, None, :] + across[None, :, :]) / (2 * width**2))  # (G, G, N)
    total = weights.sum(axis=2)
    near = total >= _LEAST_WEIGHT
    return np.where(near, (weights @ values) / np.where(near, total, 1.0), np.nan)


def _branch(study: Study, method: str) -> _Branch | None:
    def share(leaf: Leaf) -> float:
        return max(found.shares.get(leaf.path, 0.0) for found in study.importances)

    values = study.comparable
    members = [
        (trial, report)
        for trial, report in zip(values.trials, values.reports, strict=True)
        if study.method(trial) == method
    ]
    if len(members) < _MIN_TRIALS or not study.importances:
        return None
    leaves = [
        leaf
        for leaf in study.leaves
        if isinstance(leaf.distribution, Range) and all(leaf.path in t.settings for t, _ in members)
    ]
    if len(leaves) < 2:
        return None
    across, up = sorted(leaves, key=share, reverse=True)[:2]
    return _Branch(method, across, up, [t for t, _ in members], [r for _, r in members])


def _absent(study: Study, branches: list[_Branch]) -> list[str]:
    shown = {branch.method for branch in branches}
    absent = [method for method in study.methods if method not in shown]
    if not absent:
        return []
    return [
        f"Not drawn: {', '.join(absent)}, with fewer than {_MIN_TRIALS} trials that can be "
        "compared or fewer than two numeric settings."
    ]


def _range(leaf: Leaf) -> Range:
    assert isinstance(leaf.distribution, Range)
    return leaf.distribution


def _height(value: object, leaf: Leaf) -> float:
    """Return where a value is in the range of its setting, from 0 to 1."""
    assert isinstance(value, int | float)
    found = _range(leaf)
    if found.log:
        return math.log(value / found.low) / math.log(found.high / found.low)
    return (value - found.low) / (found.high - found.low)


def _value(height: float, leaf: Leaf) -> float:
    """Return the value of a setting at a place in its range."""
    found = _range(leaf)
    if found.log:
        return float(found.low * (found.high / found.low) ** height)
    return float(found.low + height * (found.high - found.low))


def _figure(study: Study, branch: _Branch) -> Figure:
    objectives = list(study.log.objectives)
    traces: list[Trace] = [
        _contour(branch, objective) | {"visible": number == 0}
        for number, objective in enumerate(objectives)
    ]
    traces.append(_points(study, branch))
    views = [
        View(words(objective.name), {"visible": [*(o is objective for o in objectives), True]})
        for objective in objectives
    ]
    axes = {
        name: {
            "title": {"text": study.names[leaf.path]},
            "type": "log" if _range(leaf).log else "linear",
            "showgrid": False,
        }
        for name, leaf in zip(("xaxis", "yaxis"), branch.leaves, strict=True)
    }
    label = f"objectives over two settings of {branch.method}, {len(branch.trials)} trials"
    return Figure(label, traces, axes, views if len(views) > 1 else [])


def _contour(branch: _Branch, objective: Objective) -> Trace:
    ticks = np.linspace(0.0, 1.0, _GRID)
    grid = branch.grid_of(objective)
    colours = [[0, "@background"], [1, "@c0"]]
    bar = {"thickness": 12, "outlinewidth": 0, "tickfont": {"color": INK}}
    if is_share(objective.name):
        bar["tickformat"] = ".1~%"
    return {
        "type": "contour",
        "x": [rounded(_value(tick, branch.across)) for tick in ticks],
        "y": [rounded(_value(tick, branch.up)) for tick in ticks],
        "z": [[rounded(value) for value in row] for row in grid],
        "colorscale": colours,
        "reversescale": not objective.maximize,  # the colour is where it is good
        "contours": {"coloring": "fill"},
        "line": {"width": 0.5, "color": INK},
        "colorbar": bar,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _points(study: Study, branch: _Branch) -> Trace:
    across, up = (
        [rounded(_value(_height(t.settings[leaf.path], leaf), leaf)) for t in branch.trials]
        for leaf in branch.leaves
    )
    return {
        "type": "scatter",
        "mode": "markers",
        "x": across,
        "y": up,
        "customdata": [study.key(trial) for trial in branch.trials],
        "marker": {"size": 7, "color": "@background", "line": {"width": 1.5, "color": INK}},
        "showlegend": False,
        "hovertemplate": "<b>%{customdata}</b><br>%{xaxis.title.text}: %{x}"
        "<br>%{yaxis.title.text}: %{y}",
    }


def _table(study: Study, branches: list[_Branch]) -> Table:
    objectives = list(study.log.objectives)
    headings = ["method", "trials", *(f"best {words(o.name)} near" for o in objectives)]
    rows = []
    for branch in branches:
        row = [branch.method, str(len(branch.trials))]
        rows.append([*row, *(_best(study, branch, objective) for objective in objectives)])
    return Table(headings, rows)


def _best(study: Study, branch: _Branch, objective: Objective) -> str:
    """Return where the smoothed objective is best, and how good it is there."""
    grid = branch.grid_of(objective)
    place = np.nanargmax(grid) if objective.maximize else np.nanargmin(grid)
    up, across = (int(index) for index in np.unravel_index(place, grid.shape))
    named = [
        f"{study.names[leaf.path]} {short_value(float(f'{_value(index / (_GRID - 1), leaf):.2g}'))}"
        for leaf, index in ((branch.across, across), (branch.up, up))
    ]
    return f"{' and '.join(named)} ({format_metric(objective.name, float(grid[up, across]))})"

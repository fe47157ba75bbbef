"""Tables and figure of `benchmarks.paper_methods`: intervals and paired tests over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from benchmarks.recordings import table_line
from tunebox.pareto.objectives import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Finals = Sequence[Mapping[str, Any]]  # what the models of a method are on the test set, by seed
Regimes = Mapping[str, Mapping[str, Finals]]  # by regime and method

OURS = "ours"
TITLES = {"fixed": "Training noise fixed at 0.06", "tuned": "Training noise tuned"}
CURVATURES = {"curvature_mean": "curvature, mean", "curvature_median": "curvature, median"}
CORRELATIONS = {
    "correct_times/gaussian/pearson": "Gaussian, Pearson's r of groups",
    "correct_times/gaussian/spearman": "Gaussian, Spearman's rho of images",
    "correct_times/uniform/pearson": "uniform, Pearson's r of groups",
    "correct_times/uniform/spearman": "uniform, Spearman's rho of images",
}
PANELS = {
    "gaussian": "Gaussian noise, standard deviation",
    "uniform": "uniform noise, ±",
    "patch_mask": "patch mask, pixels",
    "down_up": "down-up sampling, scale",
}
COLORS = ("#7F7F7F", "#E69F00", "#009E73", "#CC79A7", "#0072B2")
LEVEL = 0.05


@dataclass(frozen=True)
class Column:
    """An accuracy of the tables: a perturbation at a strength."""

    title: str
    perturbation: str
    strength: float

    def of(self, final: Mapping[str, Any]) -> float:
        """Return the accuracy in percent."""
        return 100.0 * next(
            float(accuracy)
            for perturbation, strength, accuracy in final["accuracies"]
            if perturbation == self.perturbation and math.isclose(strength, self.strength)
        )


@dataclass(frozen=True)
class Comparison:
    """The mean of paired differences, half the width of its 95 % interval, and the p value."""

    mean: float
    half_width: float
    p: float


def columns(final: Mapping[str, Any]) -> list[Column]:
    """Return the columns; the mask is that in the middle of the sizes."""
    sizes = sorted(strength for name, strength, _ in final["accuracies"] if name == "patch_mask")
    size = sizes[len(sizes) // 2]
    return [
        Column("clean", "clean", 0.0),
        Column("Gaussian 0.06", "gaussian", 0.06),
        Column("Gaussian 0.3", "search_noise", 0.0),
        Column("Gaussian 0.5", "gaussian", 0.5),
        Column("uniform 0.25", "uniform", 0.25),
        Column(f"mask {size:g} x {size:g}", "patch_mask", size),
        Column("down-up 1/2", "down_up", 0.5),
    ]


def interval(values: FloatArray) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval (Student's t); values ``(n,)``."""
    if len(values) < 2:
        return float(values.mean()), math.nan
    error = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * error)


def compare(ours: FloatArray, others: FloatArray) -> Comparison:
    """Compare two methods seed by seed with the paired t-test; ``(n,)`` each."""
    mean, half = interval(ours - others)
    p = float(stats.ttest_rel(ours, others).pvalue) if len(ours) > 1 else math.nan
    return Comparison(mean, half, 1.0 if mean == 0 else p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's method, in the order given."""
    adjusted, largest = [math.nan] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def print_tables(regimes: Regimes) -> None:
    for regime, methods in regimes.items():
        print(f"\n### {TITLES[regime]}\n")
        print_means(methods)
        print()
        print_comparisons(methods)
        print()
        print_correlations(methods)


def print_means(methods: Mapping[str, Finals]) -> None:
    """Print a line for each method: accuracies in percent, and curvatures."""
    shown = columns(next(iter(methods.values()))[0])
    print_head(["method", *(column.title for column in shown), *CURVATURES.values()])
    for method, finals in methods.items():
        cells = [mean_cell(accuracies(finals, column)) for column in shown]
        cells += [mean_cell(numbers(finals, name)) for name in CURVATURES]
        print(table_line([method, *cells]))


def print_comparisons(methods: Mapping[str, Finals]) -> None:
    """Print how `ours` differs from each other method, and what follows."""
    shown = columns(next(iter(methods.values()))[0])
    others = [method for method in methods if method != OURS]
    found = {
        other: [
            compare(accuracies(methods[OURS], column), accuracies(methods[other], column))
            for column in shown
        ]
        + [
            compare(np.log(numbers(methods[OURS], name)), np.log(numbers(methods[other], name)))
            for name in CURVATURES
        ]
        for other in others
    }
    adjusted = iter(holm([comparison.p for row in found.values() for comparison in row]))
    titles = [*(column.title for column in shown), *CURVATURES.values()]
    print_head(["ours minus", *titles])
    verdicts = []
    for other, row in found.items():
        p_values = [next(adjusted) for _ in row]
        is_ratio = [False] * len(shown) + [True] * len(CURVATURES)
        cells = [difference_cell(*cell) for cell in zip(row, p_values, is_ratio, strict=True)]
        print(table_line([other, *cells]))
        verdicts.append(verdict(other, titles, row, p_values))
    print("\n" + "\n".join(verdicts))


def print_correlations(methods: Mapping[str, Finals]) -> None:
    """Print how curvature goes with correct-times: the claim is a negative correlation."""
    print_head(["method", *CORRELATIONS.values()])
    for method, finals in methods.items():
        found = [
            [final["numbers"].get(name, math.nan) for final in finals] for name in CORRELATIONS
        ]
        cells = [mean_cell(np.array([v for v in row if math.isfinite(v)]), 2) for row in found]
        print(table_line([method, *cells]))


def print_head(titles: Sequence[str]) -> None:
    print(table_line(list(titles)))
    print(table_line(["---"] * len(titles)))


def accuracies(finals: Finals, column: Column) -> FloatArray:
    return np.array([column.of(final) for final in finals])


def numbers(finals: Finals, name: str) -> FloatArray:
    """Return a number of each model; NaN for a model whose training was lost."""
    return np.array([final[name] for final in finals], dtype=np.float64)


def mean_cell(values: FloatArray, digits: int = 1) -> str:
    if not len(values):
        return "-"
    mean, half = interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def difference_cell(comparison: Comparison, p: float, is_ratio: bool) -> str:
    """Return a difference with its interval, or a ratio where logarithms were compared."""
    if is_ratio:
        ends = (comparison.mean + sign * comparison.half_width for sign in (-1, 1))
        low, high = (math.exp(end) for end in ends)
        text = f"x {math.exp(comparison.mean):.2f} [{low:.2f}, {high:.2f}]"
    else:
        text = f"{comparison.mean:+.1f} ± {comparison.half_width:.1f}"
    return f"**{text}**" if p < LEVEL else text


def verdict(
    other: str, titles: Sequence[str], row: Sequence[Comparison], p_values: Sequence[float]
) -> str:
    """Return a line that says where `ours` differs from another method beyond doubt."""
    better: list[str] = []
    worse: list[str] = []
    for title, comparison, p in zip(titles, row, p_values, strict=True):
        gain = -comparison.mean if title in CURVATURES.values() else comparison.mean
        if p < LEVEL:
            (better if gain > 0 else worse).append(title)
    return (
        f"- ours against {other}: better in {', '.join(better) or 'nothing'}; "
        f"worse in {', '.join(worse) or 'nothing'}"
    )


def write_figure(regimes: Regimes, path: Path) -> None:
    """Draw accuracy over strength: a row for each regime, a panel for each perturbation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = (3.1 * len(PANELS), 0.7 + 2.9 * len(regimes))
    figure = Figure(figsize=size, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    rows = figure.subplots(len(regimes), len(PANELS), sharey=True, squeeze=False)
    for panels, (regime, methods) in zip(rows, regimes.items(), strict=True):
        for panel, (perturbation, title) in zip(panels, PANELS.items(), strict=True):
            draw_panel(panel, methods, perturbation)
            panel.set_xlabel(title, fontsize=8)
            panel.tick_params(labelsize=8)
            panel.grid(color="#E5E5E5", linewidth=0.8)
        panels[0].set_ylabel(f"{TITLES[regime]}\ntest accuracy, %", fontsize=8)
    handles, names = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_figure(str(path), format="png", dpi=110)


def draw_panel(panel: Axes, methods: Mapping[str, Finals], perturbation: str) -> None:
    """Draw the mean accuracy of each method over the strengths, with its interval."""
    clean = Column("clean", "clean", 0.0)
    at_clean = 1.0 if perturbation == "down_up" else 0.0
    for (method, finals), color in zip(methods.items(), COLORS, strict=False):
        kinds = finals[0]["accuracies"]
        found = [Column("", name, strength) for name, strength, _ in kinds if name == perturbation]
        points = [(at_clean, clean), *((column.strength, column) for column in found)]
        points.sort(key=lambda point: point[0])
        strengths = [strength for strength, _ in points]
        cells = [interval(accuracies(finals, column)) for _, column in points]
        means = np.array([mean for mean, _ in cells])
        halves = np.nan_to_num(np.array([half for _, half in cells]))
        panel.plot(strengths, means, "o-", color=color, label=method, markersize=3, linewidth=1.4)
        panel.fill_between(strengths, means - halves, means + halves, color=color, alpha=0.15)
    if perturbation == "down_up":
        panel.invert_xaxis()  # the stronger perturbation is on the right, as in the other panels

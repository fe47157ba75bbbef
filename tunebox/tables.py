"""Fronts, settings and evaluations as a person reads them on a terminal."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tunebox.pareto.objectives import Objectives
from tunebox.spec.search_spec import SearchSpec, default_out
from tunebox.spec.space import Scalar, Values
from tunebox.trials import TrialLog, TrialRecord, TrialState

if TYPE_CHECKING:
    from tunebox.api import SearchResult
    from tunebox.replay import ReplayComparison
    from tunebox.training.robustness import RobustnessReport


def front_table(log: TrialLog, title: str) -> Table:
    """Return the front of ``log``, a row a trial."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("trial")
    for name in log.objectives.names:
        table.add_column(name, justify="right")
    table.add_column("epochs", justify="right")
    table.add_column("settings", overflow="fold")
    for trial in log.front():
        table.add_row(*_front_row(trial, log.objectives))
    return table


def comparison_table(logs: Iterable[tuple[str, TrialLog]]) -> Table:
    """Return several searches side by side: sizes, epochs, hypervolumes, best objectives."""
    searches = list(logs)
    table = Table(box=None, pad_edge=False)
    table.add_column("search")
    for heading in ("trials", "epochs", "front", "hypervolume"):
        table.add_column(heading, justify="right")
    objectives = searches[0][1].objectives
    for name in objectives.names:
        table.add_column(f"best {name}", justify="right")
    for name, log in searches:
        front = log.front()
        best = []
        for objective in objectives:
            reached = [trial.last_metrics[objective.name] for trial in front]
            pick = max if objective.maximize else min
            best.append(format_metric(objective.name, pick(reached)) if reached else "-")
        table.add_row(
            name,
            str(len(log.trials)),
            str(log.epochs_spent),
            str(len(front)),
            f"{log.hypervolume():.4f}",
            *best,
        )
    return table


def replay_table(comparison: "ReplayComparison") -> Table:
    """Return replayed searches, a row for the seeds of each of the settings."""
    from tunebox.search.efficiency import headings, row

    title = (
        f"{comparison.num_recorded} recorded trials of {comparison.max_epochs} epochs, best "
        f"hypervolume {comparison.best_hypervolume:.4f}; budget {comparison.budget} epochs, "
        f"{len(comparison.searches[0].runs)} seeds"
    )
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("settings", overflow="fold")
    for heading in headings(comparison.budget):
        table.add_column(heading, justify="right")
    for search in comparison.searches:
        settings = ", ".join(f"{key}={value}" for key, value in search.settings.items())
        table.add_row(settings or "defaults", *row(search.runs, comparison.budget))
    table.caption = (
        "Hypervolume of all reports so far, as a share of the best: median and quartiles over "
        "seeds. To 95%: median epochs spent when it was reached, and in how many seeds it was."
    )
    table.caption_justify = "left"
    return table


def spaces_table(specs: Iterable[SearchSpec]) -> Table:
    """Return search files, a row each, with what they ask."""
    table = Table(box=None, pad_edge=False)
    for heading in ("file", "asks", "data", "objectives"):
        table.add_column(heading, overflow="fold")
    table.add_column("leaves", justify="right")
    for spec in specs:
        data = spec.source.data["data"]["kind"]
        objectives = ", ".join(spec.objectives)
        table.add_row(spec.stem, spec.question, data, objectives, str(len(spec.space.leaves)))
    return table


def evaluation_table(report: "RobustnessReport", title: str) -> Table:
    """Return accuracy and loss under each perturbation, and the curvature."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("perturbation")
    for heading in ("strength", "accuracy", "loss"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        strength = f"{row.strength_name} {row.strength:.3g}" if row.strength else "-"
        accuracy = format_metric("test_accuracy", row.accuracy)
        table.add_row(row.perturbation, strength, accuracy, f"{row.loss:.4f}")
    curvature = report.curvature
    table.caption = (
        f"curvature at {curvature.num_images} images: mean {curvature.mean:.4g}, median "
        f"{curvature.median:.4g}, 5 % {curvature.quantile_05:.4g}, 95 % {curvature.quantile_95:.4g}"
    )
    table.caption_justify = "left"
    return table


def format_metric(name: str, value: float) -> str:
    """Return ``value`` with the digits that matter for the metric ``name``."""
    if name.endswith("_accuracy"):
        return f"{100 * value:.2f} %"
    if name.endswith("_seconds"):
        return f"{value:.1f} s"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def describe_settings(values: Values) -> str:
    """Return the values of leaves in one line, each path without the branches that lead to it."""
    branches = {f"{path}/{value}/" for path, value in values.items() if isinstance(value, str)}
    return ", ".join(
        f"{_without(branches, path)} {_short(value)}" for path, value in values.items()
    )


def describe_constraints(log: TrialLog) -> list[str]:
    """Return a line about the constraints and how many results keep them; none without any."""
    if not log.constraints:
        return []
    results = [trial for trial in log.trials.values() if trial.can_be_on_front]
    kept = sum(bool(log.is_feasible(trial)) for trial in results)
    return [f"{kept} of {len(results)} trials with a result keep {log.constraints}"]


def describe_failures(log: TrialLog) -> list[str]:
    """Return a line for each reason for which trials failed or diverged, most frequent first."""
    lines = []
    for state in (TrialState.FAILED, TrialState.DIVERGED):
        trials = [trial for trial in log.trials.values() if trial.state is state]
        for reason, count in Counter(trial.reason for trial in trials).most_common():
            first = next(trial.trial_id for trial in trials if trial.reason == reason)
            noun = "trial" if count == 1 else "trials"
            lines.append(f"{count} {noun} {state.value}, first {first}: {reason}")
    return lines


def _front_row(trial: TrialRecord, objectives: Objectives) -> list[str]:
    metrics = [format_metric(name, trial.last_metrics[name]) for name in objectives.names]
    return [trial.trial_id, *metrics, str(trial.epochs), describe_settings(trial.settings)]


def _without(branches: set[str], path: str) -> str:
    fitting = [branch for branch in branches if path.startswith(branch)]
    return path.removeprefix(max(fitting, key=len)) if fitting else path


def _short(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def print_search(
    console: Console,
    result: "SearchResult",
    tracking_uri: str | None,
    cluster: str | None = None,
) -> None:
    """Print the front, where everything is, and the commands to type next.

    ``cluster`` is the file of the cluster on which the search ran, None if it ran here.
    """
    name, log = result.name, result.log
    console.print()
    console.print(front_table(log, front_title(name, log)))
    console.print()
    lines = [
        f"ended   {result.ended}",
        *describe_constraints(log),
        *describe_failures(log),
        f"files   {result.folder.root}",
        f"MLflow  {result.tracking_uri}",
    ]
    best = next(iter(log.objectives)).name
    where = "" if cluster is None else f" --cluster {cluster}"
    out = "" if result.out == default_out() else f" --out {result.out}"
    store = "" if tracking_uri is None else f" --tracking-uri {result.tracking_uri}"
    lines += [
        f"next    tunebox ui{where or out + store}    then filter runs by {result.front_filter}",
        f"        tunebox front {name}{out}",
        f"        tunebox export {name} --pick knee --to exported{out}    (or all, best:{best})",
    ]
    if not result.is_complete:
        resume = f"tunebox search --resume {name}{out}{store}{where}"
        lines.append(f"        {resume}{result.go_on}")
    for line in (*lines, *result.warnings):
        console.print(line, soft_wrap=True)


def front_title(name: str, log: TrialLog) -> str:
    """Return a line over the front of the search ``name``."""
    size, trials = len(log.front()), len(log.trials)
    return f"Front of {name}: {size} of {trials} trials, hypervolume {log.hypervolume():.4f}"

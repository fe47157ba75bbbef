"""Tables of fronts, settings and evaluations for a terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunebox.cli.confirm_tables import confirmed_table, describe_confirmed
from tunebox.cli.front_table import print_front
from tunebox.decisions.trials import TrialLog, TrialRecord, TrialState
from tunebox.pareto.objectives import Objective
from tunebox.reports.format import format_metric, short_value
from tunebox.reports.methods import without_branches
from tunebox.spec.search_settings import default_out
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.text import printable, shell_command

if TYPE_CHECKING:
    from tunebox.training.robustness import RobustnessReport
    from tunebox.verbs.replay import ReplayComparison
    from tunebox.verbs.results import SearchResult


def comparison_table(logs: Iterable[tuple[str, TrialLog]]) -> Table:
    """Return several searches side by side: sizes, epochs, hypervolumes, best objectives.

    A search with other objectives or references than the first has no hypervolume here: the two
    could not be compared.
    """
    searches = list(logs)
    table = Table(box=None, pad_edge=False)
    table.add_column("search")
    for heading in ("trials", "epochs", "front", "hypervolume"):
        table.add_column(heading, justify="right")
    objectives = searches[0][1].objectives
    for name in objectives.names:
        table.add_column(f"best {name}", justify="right")
    unlike = [name for name, log in searches if tuple(log.objectives) != tuple(objectives)]
    for name, log in searches:
        front = log.front()
        table.add_row(
            name,
            str(len(log.trials)),
            str(log.epochs_spent),
            str(len(front)),
            "-" if name in unlike else f"{log.hypervolume():.4f}",
            *(_best(front, objective) for objective in objectives),
        )
    if unlike:
        table.caption = (
            f"No hypervolume of {', '.join(unlike)}: its objectives or references are not those "
            f"of {searches[0][0]}."
        )
        table.caption_justify = "left"
    return table


def _best(front: Sequence[TrialRecord], objective: Objective) -> str:
    reached = [t.last_metrics[objective.name] for t in front if objective.name in t.last_metrics]
    best = max if objective.maximize else min
    return format_metric(objective.name, best(reached)) if reached else "-"


def replay_table(comparison: "ReplayComparison") -> Table:
    """Return replayed searches, one row for all seeds of each of the settings."""
    from tunebox.engine.efficiency import headings, row

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
    """Return search files with their questions, one row each."""
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
        has_strength = row.strength_name != "none"
        strength = f"{row.strength_name} {row.strength:.3g}" if has_strength else "-"
        accuracy = format_metric("clean_accuracy", row.accuracy)
        loss = "-" if row.loss is None else f"{row.loss:.4f}"
        table.add_row(row.perturbation, strength, accuracy, loss)
    curvature = report.curvature
    table.caption = (
        f"curvature at {curvature.num_images} images: mean {curvature.mean:.4g}, median "
        f"{curvature.median:.4g}, 5 % {curvature.quantile_05:.4g}, 95 % {curvature.quantile_95:.4g}"
    )
    table.caption_justify = "left"
    return table


def class_table(report: "RobustnessReport") -> Table:
    """Return the accuracy on clean images of each class, lowest first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    table.add_column("accuracy", justify="right")
    for name, value in sorted(report.by_class.items(), key=lambda item: item[1]):
        table.add_row(Text(printable(name)), format_metric("clean_accuracy", value))
    return table


def numbers_table(report: "RobustnessReport") -> Table:
    """Return the numbers of what was included in an evaluation, one row each."""
    table = Table(box=None, pad_edge=False)
    table.add_column("measured")
    table.add_column("value", justify="right")
    for name, value in report.numbers.items():
        table.add_row(name, f"{value:.4g}")
    return table


def describe_settings(values: Values) -> str:
    """Return the values of leaves in one line, each path without the branches that lead to it."""
    return ", ".join(
        f"{path} {short_value(value)}" for path, value in without_branches(values).items()
    )


def describe_constraints(log: TrialLog) -> list[str]:
    """Return a line on how many results keep the constraints; an empty list without any."""
    if not log.constraints:
        return []
    results = [trial for trial in log.trials.values() if trial.can_be_on_front]
    kept = sum(bool(log.is_feasible(trial)) for trial in results)
    return [f"{kept} of {len(results)} trials with a result keep {log.constraints}"]


def describe_failures(log: TrialLog) -> list[str]:
    """Return a line for each reason why trials failed, diverged or collapsed, by frequency."""
    lines = []
    for state in (TrialState.FAILED, TrialState.DIVERGED, TrialState.COLLAPSED):
        trials = [trial for trial in log.trials.values() if trial.state is state]
        for reason, count in Counter(trial.reason for trial in trials).most_common():
            first = next(trial.trial_id for trial in trials if trial.reason == reason)
            noun = "trial" if count == 1 else "trials"
            lines.append(f"{count} {noun} {state.value}, first {first}: {reason}")
    return lines


def print_search(
    console: Console,
    result: "SearchResult",
    tracking_uri: str | None,
    cluster: str | None = None,
) -> None:
    """Print the front, the paths of the records, and the commands to type next.

    ``cluster`` is the file of the cluster on which the search ran, None if it ran here.
    """
    name, log = result.name, result.log
    console.print()
    print_front(console, name, log, confirmed=result.confirmed)
    lines = list[str]()
    if result.confirmed is not None:
        console.print()
        console.print(confirmed_table(result.confirmed, name))
        lines += describe_confirmed(result.confirmed)
    console.print()
    lines += [
        f"ended   {result.ended}",
        *describe_constraints(log),
        *describe_failures(log),
        f"files   {result.folder.root}",
        f"MLflow  {result.tracking_uri}",
    ]
    best = shell_command(f"best:{next(iter(log.objectives)).name}")
    where = [] if cluster is None else ["--cluster", cluster]
    out = [] if result.out == default_out() else ["--out", result.out]
    confirm = shell_command("tunebox", "confirm", name, *out)
    store = [] if tracking_uri is None else ["--tracking-uri", result.tracking_uri]
    pages = shell_command("tunebox", "ui", *(where or [*out, *store]))
    export = shell_command("tunebox", "export", name, "--pick", "knee", "--to", "exported", *out)
    lines += [
        f"next    {pages}    # then filter runs by {result.front_filter}",
        f"        {shell_command('tunebox', 'front', name, *out)}",
        f"        {shell_command('tunebox', 'report', name, '--open', *out)}",
    ]
    if log.front():
        lines += [
            f"        {confirm}    # train the front again with new seeds",
            f"        {export}    # or all, {best}",
        ]
    if not result.is_complete:
        resume = shell_command("tunebox", "search", "--resume", name, *out, *store, *where)
        lines.append(f"        {resume}    # {result.go_on.strip()}")
    for line in (*lines, *result.warnings):
        console.print(line, soft_wrap=True)

"""The front of a search for a terminal, and for other programs."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.records.export import knee
from tunebox.reports.expected_gain import describe_expected_gain
from tunebox.reports.format import format_estimate, format_metric, short_value
from tunebox.reports.front_text import front_text
from tunebox.reports.methods import branch_path, method_of, short_names, without_branches
from tunebox.reports.one_seed import describe_one_seed
from tunebox.spec.space import Values
from tunebox.text import printable, printable_lines

_PLOT_WIDTH = 78


def print_front(
    console: Console,
    name: str,
    log: TrialLog,
    *,
    wide: bool = False,
    confirmed: Confirmed | None = None,
) -> None:
    """Print the front of the search ``name`` as a table and, where it has an extent, as a plot."""
    title = (
        f"Front of {name}: {len(log.front())} of {len(log.trials)} trials, "
        f"hypervolume {log.hypervolume():.4f}"
    )
    console.print(front_table(log, title, wide=wide, confirmed=confirmed))
    drawn = front_text(log, name, width=min(_PLOT_WIDTH, console.width))
    if drawn:
        console.print(Text(f"\n{printable_lines(drawn)}"), soft_wrap=True)
    expected = describe_expected_gain(log)
    if expected:
        console.print(Text(f"\n{expected}"))
    if confirmed is None and log.front():
        console.print(Text(f"\n{describe_one_seed(log)}"))


def front_table(
    log: TrialLog, title: str, *, wide: bool = False, confirmed: Confirmed | None = None
) -> Table:
    """Return the front of ``log``, a row a trial, with a star at the knee.

    Args:
        log: The trials of the search.
        title: The line above.
        wide: Show all settings. Otherwise a row has one line, with the method and the settings
            that differ on the front, as far as there is room.
        confirmed: What a confirmation found: each objective gets a column of means with ±.
    """
    front, branch = log.front(), branch_path(log.trials.values())
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        min_width=len(title),
    )
    table.add_column("trial", no_wrap=True)
    for name in log.objectives.names:
        # broken after its words: a name is wider than its values
        heading = printable(name)
        heading = heading if wide else heading.replace("_", "_\n")
        table.add_column(Text(heading), justify="right", no_wrap=True)
        if confirmed is not None:
            table.add_column("confirmed", justify="right", no_wrap=True)
    table.add_column("epochs", justify="right", no_wrap=True)
    if branch is not None:
        table.add_column("method", no_wrap=True)
    table.add_column("settings", overflow="fold")
    star = knee(log, front).trial_id if len(front) > 1 else None
    rows = _named(front, branch, all_of_them=wide)
    for trial, settings in zip(front, rows, strict=True):
        cells = [trial.trial_id + " *" * (trial.trial_id == star)]
        for name in log.objectives.names:
            cells.append(format_metric(name, trial.last_metrics[name]))
            if confirmed is not None:
                again = confirmed.trial(trial.trial_id)
                cells.append("-" if again is None else format_estimate(name, again.means[name]))
        cells.append(str(trial.epochs))
        if branch is not None:
            cells.append(method_of(trial, branch))
        shown = printable(", ".join(f"{n} {short_value(value)}" for n, value in settings.items()))
        fitted = Text(shown) if wide else Text(shown, no_wrap=True, overflow="ellipsis")
        table.add_row(*cells, fitted)
    equal = _equal(log)
    table.caption = Text("\n".join(map(printable, equal)), "italic") if equal else None
    table.caption_justify = "left"
    return table


def front_data(name: str, log: TrialLog) -> dict[str, Any]:
    """Return the front of the search ``name`` as plain data, best in the first objective first."""
    front, branch = log.front(), branch_path(log.trials.values())
    return {
        "search": name,
        "trials": len(log.trials),
        "hypervolume": log.hypervolume(),
        "expected_gain": log.expected_gain(),
        "knee": knee(log, front).trial_id if front else None,
        "front": [
            {
                "trial": trial.trial_id,
                "state": trial.state.value,
                "epochs": trial.epochs,
                "method": None if branch is None else method_of(trial, branch),
                "metrics": trial.last_metrics,
                "settings": trial.settings,
                "equal_trials": log.equals(trial.trial_id),
            }
            for trial in front
        ],
    }


def _named(front: list[TrialRecord], branch: str | None, *, all_of_them: bool) -> list[Values]:
    """Return the settings to show of each trial, by names that are short and distinct."""
    values = [without_branches(trial.settings) for trial in front]
    if all_of_them:
        return values
    for settings in values:
        settings.pop(branch or "", None)
    paths = list(dict.fromkeys(path for settings in values for path in settings))
    differing = [
        path
        for path in paths
        if len(front) == 1 or len({settings.get(path) for settings in values}) > 1
    ]
    names = short_names(differing)
    return [{names[path]: s[path] for path in differing if path in s} for s in values]


def _equal(log: TrialLog) -> list[str]:
    return [
        f"{trial.trial_id} is equal in all objectives to {', '.join(others)}"
        for trial in log.front()
        if (others := log.equals(trial.trial_id))
    ]

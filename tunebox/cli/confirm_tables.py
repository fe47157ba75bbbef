"""Tables and lines about a confirmed search for a terminal."""

from rich.table import Table

from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial
from tunebox.reports.format import format_estimate, format_metric


def confirmed_table(result: Confirmed, name: str) -> Table:
    """Return the trials that were trained again, the front first."""
    front = result.front
    title = f"Confirmed front of {name}: {len(front)} of {len(result.trials)} trials trained again"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("trial")
    table.add_column("seeds", justify="right")
    for objective in result.objectives:
        table.add_column(objective, justify="right")
        table.add_column("in the search", justify="right")
        if any(objective in trial.test_means for trial in result.trials):
            table.add_column("on test", justify="right")
    table.add_column("on the front", justify="right")
    for trial in result.trials:
        table.add_row(*_row(trial, result))
    table.caption_justify = "left"
    table.caption = (
        "Means over new seeds ± half the width of a 95 % interval. On the front: the probability; "
        "* is on the front of the best guesses, which count the search's own result, taken back by "
        "what such results were too good, as one seed more."
    )
    return table


def _row(trial: ConfirmedTrial, result: Confirmed) -> list[str]:
    collapsed = f", {trial.num_collapsed} collapsed" if trial.num_collapsed else ""
    cells = [trial.trial_id, f"{trial.num_seeds}{collapsed}"]
    for objective in result.objectives:
        searched = trial.searched.get(objective)
        cells.append(format_estimate(objective, trial.means[objective]))
        cells.append("-" if searched is None else format_metric(objective, searched))
        if any(objective in other.test_means for other in result.trials):
            test = trial.test_means.get(objective)
            cells.append("-" if test is None else format_estimate(objective, test))
    star = " *" if trial.on_front else "  "
    return [*cells, f"{100 * trial.front_share:.0f} %{star}"]


def describe_confirmed(result: Confirmed) -> list[str]:
    """Return what is to be said besides the table, a line each."""
    lines = [
        f"hypervolume of the front: {result.hypervolume.value:.4f} "
        f"± {result.hypervolume.half_width:.4f}"
    ]
    for part, gaps in (("", result.too_good), (" on test", result.too_good_on_test)):
        if gaps:
            said = ", ".join(f"{name} {format_estimate(name, gap)}" for name, gap in gaps.items())
            lines.append(f"the front of the search was too good{part} by: {said}")
    knee = next((trial.trial_id for trial in result.front if trial.is_knee), None)
    lines.append(f"knee: {knee}")
    pairs = dict.fromkeys(
        tuple(sorted((trial.trial_id, other))) for trial in result.front for other in trial.alike
    )
    if pairs:
        said = ", ".join(" and ".join(pair) for pair in pairs)
        lines.append(f"neighbours that cannot be told apart: {said}")
    collapsed = [t for t in result.trials if t.num_collapsed]
    if collapsed:
        said = ", ".join(f"{t.trial_id} ({t.num_collapsed} of {t.num_seeds})" for t in collapsed)
        lines.append(f"seeds that collapsed or diverged: {said}")
    return lines

"""The rows of a table of a confirmed front, for a terminal and for a page."""

from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial
from tunebox.reports.format import format_estimate, format_metric


def headings(result: Confirmed) -> list[str]:
    """Return the headings of the columns of `cells`."""
    made = ["trial", "seeds"]
    for objective in result.objectives:
        made += [objective, "in the search"]
        if has_test(result, objective):
            made.append("on test")
    return [*made, "on the front"]


def cells(result: Confirmed, trial: ConfirmedTrial) -> list[str]:
    """Return the row of ``trial``; a star is at those on the front."""
    collapsed = f", {trial.num_collapsed} collapsed" if trial.num_collapsed else ""
    made = [trial.trial_id, f"{trial.num_seeds}{collapsed}"]
    for objective in result.objectives:
        searched = trial.searched.get(objective)
        made.append(format_estimate(objective, trial.means[objective]))
        made.append("-" if searched is None else format_metric(objective, searched))
        if has_test(result, objective):
            test = trial.test_means.get(objective)
            made.append("-" if test is None else format_estimate(objective, test))
    star = " *" if trial.on_front else "  "
    return [*made, f"{100 * trial.front_share:.0f} %{star}"]


def has_test(result: Confirmed, objective: str) -> bool:
    """Return whether ``objective`` was measured on the test set."""
    return any(objective in trial.test_means for trial in result.trials)

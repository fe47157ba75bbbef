"""Tables and lines about a confirmed search for a terminal."""

from rich.table import Table

from tunebox.decisions.confirmed import Confirmed
from tunebox.reports.confirmed_cells import cells, headings
from tunebox.reports.format import format_estimate


def confirmed_table(result: Confirmed, name: str) -> Table:
    """Return the trials that were trained again, the front first."""
    front = result.front
    title = f"Confirmed front of {name}: {len(front)} of {len(result.trials)} trials trained again"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, heading in enumerate(headings(result)):
        table.add_column(heading, justify="left" if number == 0 else "right")
    for trial in result.trials:
        table.add_row(*cells(result, trial))
    table.caption_justify = "left"
    table.caption = (
        "Means over new seeds ± half the width of a 95 % interval. On the front: the probability; "
        "* marks the confirmed front. Its estimates count the search's own result as one more seed "
        "and allow for luck: they are drawn towards the mean of all trials."
    )
    return table


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
    if result.alike_pairs:
        said = ", ".join(" and ".join(pair) for pair in result.alike_pairs)
        lines.append(f"neighbours that cannot be told apart: {said}")
    collapsed = [t for t in result.trials if t.num_collapsed]
    if collapsed:
        said = ", ".join(f"{t.trial_id} ({t.num_collapsed} of {t.num_seeds})" for t in collapsed)
        lines.append(f"seeds that collapsed or diverged: {said}")
    return lines

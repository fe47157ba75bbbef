"""The front drawn with characters, for a terminal."""

from tunebox.decisions.trials import TrialLog
from tunebox.records.export import knee
from tunebox.reports.format import format_metric
from tunebox.reports.front_view import FrontView, front_view

_KNEE, _FRONT, _OTHER = "*", "o", "."


def front_text(log: TrialLog, name: str, *, width: int = 78, height: int = 12) -> str:
    """Return a plot of the front in the first two objectives, empty for a front of one trial.

    Args:
        log: The trials of the search.
        name: Name of the search.
        width: Characters in a line, axis included.
        height: Lines of the plot itself.
    """
    front = log.front()
    if len(front) < 2 or len(log.objectives) < 2:
        return ""
    view = front_view(log, name)
    (x_low, x_high), (y_low, y_high) = _range(view, 0), _range(view, 1)
    x_name, y_name = log.objectives.names[:2]
    ends = [format_metric(y_name, y_high), format_metric(y_name, y_low)]
    margin = max(map(len, ends))
    columns = width - margin - 2
    rows = [[" "] * columns for _ in range(height)]
    best = knee(log, front).trial_id
    # the most important mark is drawn last: it hides what is in the same place
    for point in sorted(view.points, key=lambda p: (p.on_front, p.trial.trial_id == best)):
        column = round((point.x - x_low) / (x_high - x_low) * (columns - 1))
        row = round((y_high - point.y) / (y_high - y_low) * (height - 1))
        if 0 <= column < columns and 0 <= row < height:
            mark = _KNEE if point.trial.trial_id == best else _FRONT
            rows[row][column] = mark if point.on_front else _OTHER
    labels = [ends[0], *[""] * (height - 2), ends[1]]
    lines = [f"{label:>{margin}} |{''.join(row)}" for label, row in zip(labels, rows, strict=True)]
    low, high = format_metric(x_name, x_low), format_metric(x_name, x_high)
    legend = f"{_KNEE} knee  {_FRONT} front  {_OTHER} other trials"
    lines = [f"{y_name}, {legend}", *lines, f"{'':>{margin}} +{'-' * columns}"]
    return "\n".join(
        [*lines, f"{'':>{margin}}  {low}{x_name:^{columns - len(low) - len(high)}}{high}"]
    )


def _range(view: FrontView, axis: int) -> tuple[float, float]:
    shown = (view.x, view.y)[axis].range
    assert shown is not None  # of a front with two objectives
    return shown

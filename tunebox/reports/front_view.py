"""The content of a picture of a front, for any plotting library: points, groups, axes, title."""

from dataclasses import dataclass
from itertools import pairwise

from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.metrics.catalogue import find_metric
from tunebox.reports.methods import branch_path, method_of


@dataclass(frozen=True)
class Axis:
    """An axis of the picture: its title, and whether its numbers are shares shown in percent."""

    title: str
    is_share: bool
    range: tuple[float, float] | None  # the part to show first; None for all


@dataclass(frozen=True)
class Point:
    """A trial in the picture."""

    trial: TrialRecord
    x: float
    y: float
    group: str  # the branch it took
    on_front: bool
    equals: tuple[str, ...]  # trials on the front that equal it in all objectives


@dataclass(frozen=True)
class FrontView:
    """Everything that is drawn."""

    title: str
    subtitle: str
    x: Axis
    y: Axis
    points: list[Point]  # trials that ended as they should
    line: list[tuple[float, float]]  # the edge of what is dominated, corners included
    group_title: str

    @property
    def groups(self) -> list[str]:
        """The branches in the picture, in alphabetical order."""
        return sorted({point.group for point in self.points})

    @property
    def num_outside(self) -> int:
        """How many points the ranges of the axes leave out."""
        return sum(
            not (_within(point.x, self.x.range) and _within(point.y, self.y.range))
            for point in self.points
        )


def front_view(log: TrialLog, name: str) -> FrontView:
    """Return the picture of the front of ``log``, a search called ``name``.

    With several objectives the axes are the first two; with one, the number of the trial and
    the objective.
    """
    names = log.objectives.names
    front = {trial.trial_id for trial in log.front()}
    branch = branch_path(log.trials.values())
    points = [
        Point(
            trial,
            float(number) if len(names) == 1 else trial.last_metrics[names[0]],
            trial.last_metrics[names[-1] if len(names) == 1 else names[1]],
            method_of(trial, branch),
            trial.trial_id in front,
            tuple(log.equals(trial.trial_id)),
        )
        for number, trial in enumerate(log.trials.values(), start=1)
        if trial.can_be_on_front
    ]
    if len(names) == 1:
        x, y = Axis("trial", False, None), _axis(log, 0, None)
    else:
        leaders = _leaders(log, points)
        front_points = [point for point in points if point.on_front]
        x = _axis(log, 0, shown_range(*([p.x for p in g] for g in (points, front_points, leaders))))
        y = _axis(log, 1, shown_range(*([p.y for p in g] for g in (points, front_points, leaders))))
    return FrontView(
        title=f"{name}: {len(log.trials)} trials, {len(front)} on the front",
        subtitle=f"hypervolume {log.hypervolume():.4f}, {log.epochs_spent} epochs trained",
        x=x,
        y=y,
        points=points,
        line=_line(log, [point for point in points if log.is_feasible(point.trial)]),
        group_title=branch or "",
    )


def _axis(log: TrialLog, index: int, shown: tuple[float, float] | None) -> Axis:
    objective = list(log.objectives)[index]
    better = "higher" if objective.maximize else "lower"
    is_own = log.objectives.only_known
    metric = None if is_own else find_metric(objective.name)
    label = objective.name.replace("_", " ")
    return Axis(
        f"{label}{'' if is_own else ' on validation'} ({better} is better)",
        metric is not None and metric.unit == "share",
        shown,
    )


def _leaders(log: TrialLog, points: list[Point]) -> list[Point]:
    """Return the best trials of each branch in either objective: the branches are compared."""
    signs = [1.0 if objective.maximize else -1.0 for objective in log.objectives]
    leaders = []
    for group in {point.group for point in points}:
        members = [point for point in points if point.group == group]
        leaders.append(max(members, key=lambda point: signs[0] * point.x))
        leaders.append(max(members, key=lambda point: signs[1] * point.y))
    return leaders


def shown_range(
    everything: list[float], front: list[float], leaders: list[float]
) -> tuple[float, float] | None:
    """Return the part of an axis around the front that also holds the leaders of all branches.

    Trials stopped after one epoch are far away and would squeeze the front into a corner.
    """
    if not front:
        return None
    spread = max(max(front) - min(front), 0.15 * (max(everything) - min(everything)))
    low = min(*leaders, max(min(everything), min(front) - spread))
    high = max(*leaders, min(max(everything), max(front) + spread))
    margin = 0.06 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - margin, high + margin


def _within(value: float, shown: tuple[float, float] | None) -> bool:
    return shown is None or shown[0] <= value <= shown[1]


def _line(log: TrialLog, points: list[Point]) -> list[tuple[float, float]]:
    if len(log.objectives) == 1:
        return _best_so_far(points, next(iter(log.objectives)).maximize)
    if len(log.objectives) > 2:
        return []  # a front of three objectives has no edge in the plane of two
    place = {trial.trial_id: index for index, trial in enumerate(log.front())}
    front = sorted(
        (point for point in points if point.on_front), key=lambda p: place[p.trial.trial_id]
    )
    corners = [(front[0].x, front[0].y)] if front else []
    for before, after in pairwise(front):
        # along the front x gets worse and y better: what both dominate ends at the worse of each
        corners += [(after.x, before.y), (after.x, after.y)]
    return corners


def _best_so_far(points: list[Point], maximize: bool) -> list[tuple[float, float]]:
    corners: list[tuple[float, float]] = []
    better = max if maximize else min
    for point in points:
        best = better(corners[-1][1], point.y) if corners else point.y
        if corners:
            corners.append((point.x, corners[-1][1]))
        corners.append((point.x, best))
    return corners

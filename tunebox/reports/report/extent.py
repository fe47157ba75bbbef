"""What a front of two objectives is measured by: the box up to its reference point."""

import math
from collections.abc import Sequence
from itertools import pairwise

from tunebox.decisions.trials import TrialRecord
from tunebox.pareto.objectives import Objective
from tunebox.reports.report.palette import MUTED
from tunebox.reports.report.section import Layout
from tunebox.reports.report.study import rounded

_MARGIN = 0.05  # of an axis


def reference_box(front: Sequence[TrialRecord], x: Objective, y: Objective) -> Layout:
    """Return the region that the hypervolume measures, as shapes of the layout.

    It is shaded, from the front to the reference point; the box around it is dotted. Nothing is
    drawn while no trial is better than the reference point in both objectives.
    """
    points = _better_than_reference(front, x, y)
    if not points:
        return {"shapes": []}
    corners = [(x.reference, points[-1][1]), (x.reference, y.reference)]
    corners += [(points[0][0], y.reference), points[0]]
    for before, after in pairwise(points):
        corners += [(after[0], before[1]), after]
    path = " L ".join(f"{rounded(a)} {rounded(b)}" for a, b in corners)
    dominated = {
        "type": "path",
        "path": f"M {path} Z",
        "fillcolor": "@shade",
        "line": {"width": 0},
        "layer": "below",
    }
    box = {
        "type": "rect",
        "x0": x.reference,
        "y0": y.reference,
        "x1": points[0][0],
        "y1": points[-1][1],
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "layer": "below",
    }
    return {"shapes": [dominated, box]}


def whole_box(front: Sequence[TrialRecord], x: Objective, y: Objective) -> Layout | None:
    """Return the ranges of the axes that show the front and the reference point, None without."""
    points = _better_than_reference(front, x, y)
    if not points:
        return None
    return {
        "xaxis.range": with_margin([x.reference, *(point[0] for point in points)]),
        "yaxis.range": with_margin([y.reference, *(point[1] for point in points)]),
    }


def with_margin(values: Sequence[float]) -> list[float]:
    """Return the range of an axis that shows all of ``values``."""
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 0.05 * (abs(high) or 1.0)
    return [low - margin, high + margin]


def _better_than_reference(
    front: Sequence[TrialRecord], x: Objective, y: Objective
) -> list[tuple[float, float]]:
    """Return the points of the front that have a hypervolume, best in ``x`` first."""
    points = [(t.last_metrics[x.name], t.last_metrics[y.name]) for t in front]
    sides = [1.0 if objective.maximize else -1.0 for objective in (x, y)]
    return [
        (a, b)
        for a, b in points
        if sides[0] * (a - x.reference) > 0 < sides[1] * (b - y.reference)
        and math.isfinite(x.reference + y.reference)
    ]

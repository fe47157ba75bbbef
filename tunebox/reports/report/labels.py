"""The names of the knee and the best trials, beside their points."""

from tunebox.decisions.trials import TrialRecord
from tunebox.pareto.objectives import Objective
from tunebox.reports.report.marks import Place
from tunebox.reports.report.palette import INK
from tunebox.reports.report.section import Layout
from tunebox.reports.report.study import Study, words

_EDGE = 0.25  # of the figure: a name that would grow over its edge grows the other way


def labels(
    study: Study,
    place: Place,
    x: Objective | None,
    y: Objective,
    shown: tuple[float, float] | None,
) -> Layout:
    """Return the names of the knee and the best trials as arrows to their points.

    They stay apart also where the points are close: the name of the knee is in the free space
    beyond the front, that of the best in ``y`` beside its point, those of the others below theirs.

    Args:
        study: The search.
        place: Where a trial is.
        x: The objective across, None for the number of the trial.
        y: The objective that goes up.
        shown: The part of the horizontal axis that is shown first, None for all.
    """
    named = [(t, xy) for t in study.front if t.trial_id in study.picks and (xy := place(t))]
    across = [float(xy[0]) for _, xy in named]
    if not named:
        return {"annotations": []}
    low, high = shown if shown is not None else (min(across), max(across))
    to_better = -1 if x is None or not x.maximize else 1  # 1: a better x is on the right
    up = 1 if y.maximize else -1
    annotations = []
    for trial, (at_x, at_y) in named:
        picks = study.picks[trial.trial_id]
        share = (float(at_x) - low) / (high - low) if high > low else 0.5
        if "knee" in picks or x is None:
            side, lift = to_better, 32 * up
        elif f"best {words(y.name)}" in picks:
            side, lift = -to_better, 12 * up
        else:
            side, lift = -to_better, -34 * up
        room = 1 - share if side > 0 else share
        if room < _EDGE and 1 - room > _EDGE:
            side, lift = -side, lift if abs(lift) > 30 else -34 * up
        annotations.append(_arrow(trial, picks, (at_x, at_y), side, lift))
    return {"annotations": annotations}


def _arrow(
    trial: TrialRecord, picks: list[str], at: tuple[object, object], side: int, lift: int
) -> dict[str, object]:
    return {
        "x": at[0],
        "y": at[1],
        "text": f"{'★ ' * ('knee' in picks)}{', '.join(picks)}: {trial.trial_id}",
        "ax": 14 * side,
        "ay": -lift,  # in pixels, which go down
        "xanchor": "left" if side > 0 else "right",
        "arrowwidth": 1,
        "arrowcolor": INK,
        "standoff": 7,
        "bgcolor": "@background",
        "opacity": 0.9,
        "font": {"color": INK, "size": 12},
    }

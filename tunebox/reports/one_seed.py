"""What is to be said of a front whose trials were trained once."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tunebox.decisions.trials import TrialLog, TrialRecord
from tunebox.metrics.catalogue import FOLD_STD
from tunebox.pareto.confirmed import smallest_step

_Deviation = Callable[[TrialRecord, str], float]


def describe_one_seed(log: TrialLog) -> str:
    """Return that the front is of one seed, and how far its neighbours are apart, in one line.

    In standard deviations of the difference of two accuracies. The deviation of an accuracy is
    measured over the folds of a cross-validation; without one, its standard error
    ``sqrt(p (1 - p) / n)`` is taken, for accuracy p and n validation images.
    """
    front = log.front()
    line = "one seed: each trial was trained once, and other seeds may give another front"
    names = [name for name in log.objectives.names if name.endswith("_accuracy")]
    if log.objectives.only_known or len(front) < 2 or not names:
        return line
    if all(f"{names[0]}{FOLD_STD}" in trial.last_metrics for trial in front):
        gaps = _gaps(front, names, lambda trial, name: trial.last_metrics[f"{name}{FOLD_STD}"])
        unit = "standard deviations over the folds apart"
    else:
        num_images = _num_images(log, names)
        if num_images is None:
            return line
        gaps = _gaps(front, names, _of_images(num_images))
        unit = f"standard errors apart, with {num_images:,} validation images"
    low, high = f"{min(gaps):.1f}", f"{max(gaps):.1f}"
    between = low if low == high else f"{low} to {high}"
    return f"{line}; neighbours on it are {between} {unit}"


def _gaps(front: Sequence[TrialRecord], names: Sequence[str], deviation: _Deviation) -> list[float]:
    """Return for each pair of neighbours the distance in the objective where it is largest."""
    return [
        max(
            abs(one.last_metrics[name] - other.last_metrics[name])
            / max(float(np.hypot(deviation(one, name), deviation(other, name))), 1e-9)
            for name in names
        )
        for one, other in pairwise(front)
    ]


def _of_images(num_images: int) -> _Deviation:
    def deviation(trial: TrialRecord, name: str) -> float:
        share = trial.last_metrics[name]
        # an accuracy of 1 has half an image for its deviation, not 0
        return float(np.sqrt(max(share * (1 - share), 0.25 / num_images) / num_images))

    return deviation


def _num_images(log: TrialLog, names: Sequence[str]) -> int | None:
    """Return the number of validation images, by the smallest step between accuracies."""
    reports = [report.metrics for trial in log.trials.values() for report in trial.history]
    values = [[report[name]] for name in names[:1] for report in reports if name in report]
    step = float(smallest_step(np.array(values))[0]) if values else 0.0
    return round(1 / step) if 0 < step <= 1 else None

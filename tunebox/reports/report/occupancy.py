"""How busy the workers were: the number of trials in training over time.

A trial is in training during the time that its epochs took, as it reports in ``train_seconds``.
Loading, checkpoints and waiting are not in it.
"""

from dataclasses import dataclass

import numpy as np

from tunebox.pareto.objectives import FloatArray
from tunebox.reports.report.palette import colour
from tunebox.reports.report.section import Figure
from tunebox.reports.report.study import Study, rounded

_NUM_BINS = 120


@dataclass(frozen=True)
class Occupancy:
    """Trials in training over the time of a search.

    Attributes:
        edges: Ends of equal stretches of time, in seconds since the first start, ``(B + 1,)``.
        means: Mean number of trials in training in each, ``(B,)``.
        most: The largest number at the same time.
    """

    edges: FloatArray
    means: FloatArray
    most: int

    @property
    def mean(self) -> float:
        """The mean number of trials in training over the whole time."""
        return float(self.means.mean())


def occupancy(study: Study, num_bins: int = _NUM_BINS) -> Occupancy | None:
    """Return how many trials were in training over time, None before the first epoch has ended."""
    trainings = _trainings(study)
    if not len(trainings):
        return None
    first = min(trial.start_time for trial in study.log.trials.values())
    begins, ends = trainings[:, 0] - first, trainings[:, 1] - first
    edges = np.linspace(0.0, max(float(ends.max()), 1e-9), num_bins + 1)
    # the time in training until each edge: of all that have begun, less what lies behind the edge
    spent = _until(edges, begins) - _until(edges, ends)
    changes = sorted([(float(b), 1) for b in begins] + [(float(e), -1) for e in ends])
    most = int(np.cumsum([change for _, change in changes]).max())
    return Occupancy(edges, np.diff(spent) / np.diff(edges), most)


def _until(edges: FloatArray, moments: FloatArray) -> FloatArray:
    """Return the sum of the times from all earlier ``moments`` to each of ``edges``."""
    ordered = np.sort(moments)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    counts = np.searchsorted(ordered, edges)
    return np.asarray(counts * edges - sums[counts])


def _trainings(study: Study) -> FloatArray:
    """Return begin and end of the training of each epoch, ``(N, 2)``, in seconds since 1970."""
    found: list[tuple[float, float]] = []
    for trial in study.log.trials.values():
        before, last = 0.0, trial.start_time
        for report in trial.history:
            seconds = report.metrics.get("train_seconds", before)
            # no earlier than the report before: a clock may be set
            begin = max(report.time - max(0.0, seconds - before), min(last, report.time))
            found.append((begin, report.time))
            before, last = seconds, report.time
    return np.array(found).reshape(-1, 2)


def sentence(found: Occupancy) -> str:
    """Return how busy the workers were."""
    share = 100 * found.mean / found.most
    return (
        f"On average {found.mean:.2g} trials were in training at a time and at most {found.most}: "
        f"workers trained {share:.0f} % of the time, the rest went into starting, loading, "
        "checkpoints and waiting."
    )


def figure(found: Occupancy, unit: str, length: float) -> Figure:
    """Return the number of trials in training over time.

    Args:
        found: What is drawn.
        unit: Title of the axis of time.
        length: Seconds in its unit.
    """
    times = np.repeat(found.edges, 2)[1:-1] / length
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [rounded(float(time)) for time in times],
        "y": [rounded(float(mean)) for mean in np.repeat(found.means, 2)],
        "line": {"color": colour(0), "width": 1.5},
        "fill": "tozeroy",
        "fillcolor": "@shade",
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": unit}},
        "yaxis": {"title": {"text": "trials in training"}, "range": [0, 1.08 * found.most]},
    }
    return Figure(f"trials in training over {unit}", [trace], layout)

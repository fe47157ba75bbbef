"""How the hypervolume grew with epochs and with time, and how busy the workers were."""

from dataclasses import dataclass

from tunebox.pareto.hypervolume import RunningHypervolume
from tunebox.reports.expected_gain import describe_expected_gain
from tunebox.reports.report.occupancy import figure, occupancy, sentence
from tunebox.reports.report.palette import colour
from tunebox.reports.report.section import Figure, Section
from tunebox.reports.report.study import Study, count, rounded


@dataclass(frozen=True)
class Step:
    """The hypervolume after the end of a trial."""

    epochs: int  # trained by all trials until then
    seconds: float  # since the first trial started
    volume: float


def section(study: Study) -> Section | None:
    """Return the growth of the hypervolume, None before it has any."""
    taken = steps(study)
    if not taken or taken[-1].volume <= 0:
        return None
    whole = taken[-1]
    reached = next(step for step in taken if step.volume >= 0.95 * whole.volume)
    last = next(step for step in taken if step.volume >= whole.volume)
    share, left = 100 * reached.epochs / max(1, whole.epochs), whole.epochs - last.epochs
    lines = [
        f"95 % of the hypervolume {whole.volume:.4f} was reached after {reached.epochs:,} of "
        f"{count(whole.epochs, 'epoch')} ({share:.0f} %).",
        f"The last {count(left, 'epoch')} ({100 * left / max(1, whole.epochs):.0f} %) added nothing"
        f"{': more trials of this kind will hardly help.' if left > 0.3 * whole.epochs else '.'}",
    ]
    expected = describe_expected_gain(study.log)
    if expected:
        lines.append(expected)
    unit, length = _time_axis(taken)
    figures = [
        _figure(taken, "epochs of all trials", [step.epochs for step in taken]),
        _figure(taken, unit, [step.seconds / length for step in taken]),
    ]
    busy = occupancy(study)
    if busy is not None:
        lines.append(sentence(busy))
        figures.append(figure(busy, unit, length))
    return Section("Progress", lines, figures)


def steps(study: Study) -> list[Step]:
    """Return the hypervolume after each end of a trial, and at the last report."""
    times = sorted(r.time for t in study.log.trials.values() for r in t.history)
    ends = sorted(
        ((t.end_time or t.history[-1].time, t) for t in study.with_result()), key=lambda end: end[0]
    )
    if not ends:
        return []
    start = min(trial.start_time for trial in study.log.trials.values())
    volume = RunningHypervolume(study.log.objectives.reference_costs)
    taken, epochs = [Step(0, 0.0, 0.0)], 0
    for time, trial in ends:
        while epochs < len(times) and times[epochs] <= time:
            epochs += 1
        before = volume.value
        volume.add(study.log.objectives.costs(trial.last_metrics))
        if volume.value > before:
            taken.append(Step(epochs, time - start, volume.value))
    end = max(times[-1], ends[-1][0])
    return [*taken, Step(len(times), end - start, volume.value)]


def _time_axis(taken: list[Step]) -> tuple[str, float]:
    """Return the title of an axis of time, and the seconds in its unit."""
    whole = taken[-1].seconds
    for unit, length in (("hours", 3600.0), ("minutes", 60.0)):
        if whole > 2 * length:
            return f"{unit} since the start", length
    return "seconds since the start", 1.0


def _figure(taken: list[Step], title: str, x: list[int] | list[float]) -> Figure:
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [rounded(value) for value in x],
        "y": [rounded(step.volume) for step in taken],
        "line": {"color": colour(0), "width": 2, "shape": "hv"},
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": title}},
        "yaxis": {"title": {"text": "hypervolume"}, "rangemode": "tozero"},
    }
    return Figure(f"hypervolume over {title}", [trace], layout)

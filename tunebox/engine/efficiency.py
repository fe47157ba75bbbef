"""The efficiency of a search: hypervolume over the epochs spent, for several seeds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunebox.decisions.method import SearchMethod
from tunebox.engine.recorded import Recording, replay

BUDGET_SHARES = (0.1, 0.25, 0.5, 1.0)
GOALS = (0.95, 0.99)


@dataclass(frozen=True)
class Efficiency:
    """The hypervolume that one replayed search reached.

    Hypervolumes are those of all reports so far, as fractions of the recording's.
    """

    mean: float  # hypervolume, over the epochs of the budget
    hypervolumes: tuple[float, ...]  # at `BUDGET_SHARES`
    epochs_to: tuple[float, ...]  # each of `GOALS`; infinite where the budget ended first
    trials: int  # started


def measure(method: SearchMethod, recording: Recording, workers: int, budget: int) -> Efficiency:
    """Replay ``method`` and return what it reached.

    Args:
        method: A fresh one, without any trial.
        recording: The curves to replay.
        workers: Trials that run at the same time.
        budget: Epochs trained by all trials together.

    Raises:
        ValueError: A number is below 1, a suggestion is in branches without a recording, or
            nothing that was recorded is better than the objectives' reference point.
    """
    best = recording.best_hypervolume
    if best <= 0:
        raise ValueError("no recorded trial is better than the reference of every objective")
    result = replay(method, recording, num_workers=workers, max_epochs=budget)
    reached = result.hypervolumes / best
    return Efficiency(
        float(reached.mean()),
        tuple(float(reached[max(1, round(share * budget)) - 1]) for share in BUDGET_SHARES),
        tuple(result.epochs_to(goal * best) or math.inf for goal in GOALS),
        len(result.log.trials),
    )


def headings(budget: int) -> list[str]:
    """Return the headings of a table over `row` for a budget in epochs."""
    points = [f"{share:.0%} ({max(1, round(share * budget))})" for share in BUDGET_SHARES]
    return [*points, *(f"to {goal:.0%}" for goal in GOALS), "trials"]


def row(runs: Sequence[Efficiency], budget: int) -> list[str]:
    """Return the cells of one search over its seeds, at least one.

    Hypervolumes as median and quartiles in percent; the median epochs to each goal and in how
    many seeds it was reached; the median number of trials.
    """
    cells = []
    for column in zip(*(run.hypervolumes for run in runs), strict=True):
        low, middle, high = np.percentile(column, [25, 50, 75])
        cells.append(f"{middle:.2%} [{low:.1%}, {high:.1%}]")
    for epochs in zip(*(run.epochs_to for run in runs), strict=True):
        median = statistics.median(epochs)
        reached = sum(math.isfinite(number) for number in epochs)
        shown = f"{median:.0f}" if math.isfinite(median) else f"> {budget}"
        cells.append(f"{shown} ({reached}/{len(epochs)})")
    return [*cells, f"{statistics.median(run.trials for run in runs):.0f}"]

"""What ``tunebox confirm`` is worth: searches whose trials have known true values, confirmed.

    python -m benchmarks.confirmed_fronts [--searches 100] [--first 0] [--jobs 2]

A recorded curve is the truth of its settings. Each training of a search adds noise to it, as a
seed does: a standard deviation of 0.6 points of clean and 0.7 of noisy accuracy, with a
correlation of 0.4. A default search runs on that, and the code of ``tunebox confirm`` then trains
at most a share of the search's epochs. Printed, for each recording and for all:

- the loss of true hypervolume of the printed front, and of the confirmed one: that of all finished
  trials less that of the front's trials, with their true values;
- what the picked knee lacks: the hypervolume of the true front with the true values of the knee as
  the reference point, 0 for a knee on the true front; and how far it is behind the true knee in
  what a knee is picked by, the sum over objectives of the values as shares of the true front's
  ranges;
- in how many cases the intervals of means, and of the hypervolume, cover the truth;
- by how much the front's printed values are better than the true ones, before and after.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.recordings import RECORDINGS, load_recording, table_line
from tunebox.decisions.confirm import (
    MOST_SEEDS,
    Candidate,
    ConfirmMethod,
    choose_trials,
    finished_costs,
)
from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, confirmed
from tunebox.decisions.state import SearchState
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState
from tunebox.engine.drive import drive
from tunebox.engine.recorded import RecordedExecutor, Recording
from tunebox.pareto.front import front_indices, knee_index
from tunebox.pareto.hypervolume import hypervolume
from tunebox.pareto.objectives import FloatArray
from tunebox.reports.methods import branch_path
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.seeded import seed_path, seeded_spec

NAMES = ("clean_accuracy", "noisy_accuracy")
NOISE = np.array([[0.6**2, 0.4 * 0.6 * 0.7], [0.4 * 0.6 * 0.7, 0.7**2]]) / 100**2
WORKERS = 8


class NoisyExecutor(RecordedExecutor):
    """Answers from recorded curves, each moved by the noise of the seed of its training."""

    def __init__(self, recording: Recording, seed: int) -> None:
        super().__init__(recording, WORKERS)
        self._generator = np.random.default_rng(seed)

    def _curve(self, trial: TrialRecord) -> list[Report]:
        if trial.trial_id not in self.curves:
            moves = self._generator.multivariate_normal(np.zeros(2), NOISE)
            self.curves[trial.trial_id] = [
                replace(report, metrics={**report.metrics, **_moved(report, moves)})
                for report in super()._curve(trial)
            ]
        return self.curves[trial.trial_id]


def _moved(report: Report, moves: FloatArray) -> dict[str, float]:
    return {
        name: report.metrics[name] + float(move) for name, move in zip(NAMES, moves, strict=True)
    }


@dataclass(frozen=True)
class Job:
    folder: Path
    seed: int
    trials: int
    share: float  # of the search's epochs
    most_seeds: int


@dataclass(frozen=True)
class Outcome:
    """Losses of hypervolume, before and after; covered intervals; optimism in points."""

    front: tuple[float, float]
    knee: tuple[float, float]
    bend: tuple[float, float]  # of the knee, in ranges of the true front
    num_covered: FloatArray  # (2,)
    num_intervals: FloatArray  # (2,)
    covers_volume: bool | None
    too_good: tuple[FloatArray, FloatArray]
    epochs: tuple[int, int]


def main() -> None:
    arguments = parse_arguments()
    everything: list[Outcome] = []
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for folder in arguments.recordings:
            jobs = [
                Job(folder, seed, arguments.trials, arguments.share, arguments.seeds)
                for seed in range(arguments.first, arguments.first + arguments.searches)
            ]
            outcomes = list(pool.imap(run, jobs))
            print_outcomes(folder.name, outcomes)
            everything += outcomes
    print_outcomes("all", everything)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recordings", type=Path, nargs="+", default=RECORDINGS)
    parser.add_argument("--searches", type=int, default=100, help="on each recording")
    parser.add_argument("--first", type=int, default=0, help="random seed of the first search")
    parser.add_argument("--trials", type=int, default=144, help="of a search")
    parser.add_argument("--share", type=float, default=0.3, help="of the search's epochs")
    parser.add_argument("--seeds", type=int, default=5, help="that a trial gets at most")
    parser.add_argument("--jobs", type=int, default=1, help="searches at the same time")
    return parser.parse_args()


def run(job: Job) -> Outcome:
    spec, recording = load_recording(job.folder)
    last = recording.max_epochs
    search = SearchSettings(trials=job.trials, max_epochs=last, seed=job.seed)
    spec = replace(spec, search=search)
    state = SearchState.of(spec)
    drive(state, NoisyExecutor(recording, job.seed), [])
    result, spent = confirm(spec, recording, state.log, job)
    return judge(recording, state.log, result, spent)


def confirm(
    spec: SearchSpec, recording: Recording, log: TrialLog, job: Job
) -> tuple[Confirmed, int]:
    """Confirm a simulated search as `tunebox.confirm` does; return also the epochs spent."""
    last = spec.search.max_epochs
    num_trainings = max(1, int(job.share * log.epochs_spent) // last)
    again = seeded_spec(spec, num_seeds=MOST_SEEDS, question="again", search={"min_epochs": last})
    candidates = [
        Candidate(
            trial.trial_id,
            trial.settings,
            seed_path(again.space, trial.settings),
            trial.last_metrics if trial.state is TrialState.FINISHED else {},
            is_sure,
        )
        for trial, is_sure in choose_trials(log, 3, branch_path(log.trials.values()))
    ]
    retrainings = TrialLog(log.objectives)
    method = ConfirmMethod(
        candidates,
        retrainings,
        most_seeds=job.most_seeds,
        max_epochs=last,
        seed=job.seed,
        measures_test=False,  # the simulation has none
    )
    search = again.search.model_copy(update={"trials": num_trainings})
    state = SearchState(retrainings, method, search, again.space)
    drive(state, NoisyExecutor(recording, job.seed + 1_000_000), [])
    front = [trial.trial_id for trial in log.front()]
    result = confirmed(candidates, retrainings, front, finished_costs(log))
    assert result is not None
    return result, retrainings.epochs_spent


def judge(recording: Recording, log: TrialLog, result: Confirmed, spent: int) -> Outcome:
    objectives = log.objectives

    def truth(trial_id: str) -> FloatArray:
        trial = recording.nearest(log.trials[trial_id].settings)
        return objectives.costs(trial.history[-1].metrics)

    def truths(trial_ids: Sequence[str]) -> FloatArray:
        return np.array([truth(trial_id) for trial_id in trial_ids])

    reference = objectives.reference_costs
    whole = truths([t.trial_id for t in log.trials.values() if t.state is TrialState.FINISHED])
    printed = log.front()
    printed_ids = [trial.trial_id for trial in printed]
    confirmed_ids = [trial.trial_id for trial in result.front]
    printed_costs = np.array([objectives.costs(trial.last_metrics) for trial in printed])
    knees = (
        printed_ids[knee_index(printed_costs)],
        next(trial.trial_id for trial in result.front if trial.is_knee),
    )
    best = hypervolume(whole, reference)
    losses = [best - hypervolume(truths(ids), reference) for ids in (printed_ids, confirmed_ids)]
    best_front = whole[front_indices(whole)]
    lacks = [hypervolume(best_front, truth(trial_id)) for trial_id in knees]
    bends = [_bend(truth(trial_id), best_front) for trial_id in knees]
    covered, intervals = _coverage(result, truth, objectives.costs)
    volume = result.hypervolume
    true_volume = hypervolume(truths(confirmed_ids), reference)
    covers = abs(volume.value - true_volume) <= volume.half_width
    after = np.array([objectives.costs(_means(trial)) for trial in result.front])
    return Outcome(
        front=(losses[0], losses[1]),
        knee=(lacks[0], lacks[1]),
        bend=(bends[0], bends[1]),
        num_covered=covered,
        num_intervals=intervals,
        covers_volume=covers if np.isfinite(volume.half_width) else None,
        too_good=(
            100 * (truths(printed_ids) - printed_costs).mean(axis=0),
            100 * (truths(confirmed_ids) - after).mean(axis=0),
        ),
        epochs=(log.epochs_spent, spent),
    )


def _bend(costs: FloatArray, front: FloatArray) -> float:
    """Return by how much ``costs`` are worse than the knee of ``front``, which picks the least."""
    low, span = front.min(axis=0), np.ptp(front, axis=0)
    scale = np.where(span > 0, span, 1.0)
    knee = front[knee_index(front)]
    return float(((costs - low) / scale).sum() - ((knee - low) / scale).sum())


def _means(trial: ConfirmedTrial) -> dict[str, float]:
    return {name: estimate.value for name, estimate in trial.means.items()}


def _coverage(
    result: Confirmed,
    truth: Callable[[str], FloatArray],
    costs: Callable[[Mapping[str, float]], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    covered, intervals = np.zeros(2), np.zeros(2)
    for trial in result.trials:
        widths = np.array([trial.means[name].half_width for name in NAMES])
        gaps = np.abs(costs(_means(trial)) - truth(trial.trial_id))
        covered += np.where(np.isfinite(widths), gaps <= widths, 0)
        intervals += np.isfinite(widths)
    return covered, intervals


def print_outcomes(name: str, outcomes: Sequence[Outcome]) -> None:
    """Print the means over searches; hypervolume in units of 1e-4, points in percent."""
    spent = np.array([outcome.epochs for outcome in outcomes], dtype=float)
    print(f"\n{name}: {len(outcomes)} searches, {spent[:, 0].mean():.0f} epochs each, confirmed")
    print(f"with {100 * (spent[:, 1] / spent[:, 0]).mean():.1f} % of them\n")
    print(table_line(["", "search's own table", "confirmed", "ratio"]))
    print(table_line(["---"] * 4))
    losses = {
        "hypervolume missing from the front, 1e-4": [[1e4 * x for x in o.front] for o in outcomes],
        "hypervolume missing from the knee, 1e-6": [[1e6 * x for x in o.knee] for o in outcomes],
        "shortfall of the knee from the true knee, ranges": [o.bend for o in outcomes],
    }
    for what, rows in losses.items():
        before, after = np.array(rows).mean(axis=0)
        ratio = f"{after / before:.2f}" if before > 0 else "-"
        print(table_line([what, f"{before:.2f}", f"{after:.2f}", ratio]))
    good = np.array([outcome.too_good for outcome in outcomes]).mean(axis=0)
    for index, objective in enumerate(NAMES):
        cells = [
            f"bias of the front in {objective}, points",
            *(f"{x:+.2f}" for x in good[:, index]),
        ]
        print(table_line([*cells, f"{good[1, index] / good[0, index]:.2f}"]))
    covered = np.array([outcome.num_covered for outcome in outcomes]).sum(axis=0)
    intervals = np.array([outcome.num_intervals for outcome in outcomes]).sum(axis=0)
    shares = covered / np.maximum(intervals, 1)
    volumes = [o.covers_volume for o in outcomes if o.covers_volume is not None]
    of_volumes = 100 * sum(volumes) / max(len(volumes), 1)
    print(f"\n{intervals[0]:.0f} intervals, of which cover the truth: clean ", end="")
    print(f"{100 * shares[0]:.1f} %, noisy {100 * shares[1]:.1f} %, hypervolume {of_volumes:.1f} %")


if __name__ == "__main__":
    main()

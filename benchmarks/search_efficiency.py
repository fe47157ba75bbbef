"""Hypervolume for each epoch of training spent: tunebox and its peers on recorded curves.

    pip install '.[bench]'
    python -m benchmarks.search_efficiency [--recordings FOLDER ..] [--seeds 20] [--jobs 2]

Each search runs on a simulated clock with the same number of workers and the same budget. The
rungs are tunebox's defaults in every search that stops trials, and everything else is the default
of the search. Printed is a table in Markdown for each recording: the hypervolume of all reports,
as a share of the hypervolume of all that was recorded, at four points of the budget (median and
quartiles over seeds), and the median epochs spent when it reached 95 and 99 %.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers import METHODS
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.search.replay import Recording, replay
from tunebox.spec.load import load_spec
from tunebox.spec.search_spec import SearchSettings, SearchSpec

CURVES = Path(__file__).parent / "curves"
RECORDINGS = sorted(path.parent for path in CURVES.glob("*/trials.parquet"))
BUDGET_SHARES = (0.1, 0.25, 0.5, 1.0)
GOALS = (0.95, 0.99)


@dataclass(frozen=True)
class Run:
    """What one seed of one search reached, as shares of the recording's best hypervolume."""

    method: str
    shares: list[float]  # at BUDGET_SHARES
    epochs_to_goals: list[float]  # infinite where the budget ended first
    trials: int
    seconds: float


@dataclass(frozen=True)
class Job:
    folder: Path
    method: str
    seed: int
    workers: int
    budget: int  # in full-length trainings


def main() -> None:
    arguments = parse_arguments()
    methods = [name for name in METHODS if any(part in name for part in arguments.methods or [""])]
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for folder in arguments.recordings:
            jobs = [
                Job(folder, method, seed, arguments.workers, arguments.budget)
                for seed in range(arguments.seeds)
                for method in methods
            ]
            runs = list(pool.imap_unordered(run, jobs))
            print_table(folder, methods, runs, arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recordings", type=Path, nargs="+", default=RECORDINGS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=8, help="simulated")
    parser.add_argument("--budget", type=int, default=64, help="in full-length trainings")
    parser.add_argument("--jobs", type=int, default=1, help="replays at the same time")
    parser.add_argument("--methods", nargs="+", help="parts of names; all without it")
    return parser.parse_args()


def run(job: Job) -> Run:
    spec, recording, best = load_recording(job.folder)
    last = spec.search.max_epochs
    search = SearchSettings(max_epochs=last, seed=job.seed)
    method = METHODS[job.method](spec.space, spec.objective_set, search)
    budget = job.budget * last
    start = time.perf_counter()
    result = replay(method, recording, num_workers=job.workers, max_epochs=budget)
    return Run(
        job.method,
        [result.hypervolumes[round(share * budget) - 1] / best for share in BUDGET_SHARES],
        [result.epochs_to(goal * best) or math.inf for goal in GOALS],
        len(result.log.trials),
        time.perf_counter() - start,
    )


@functools.lru_cache(maxsize=1)
def load_recording(folder: Path) -> tuple[SearchSpec, Recording, float]:
    """Return the search that was recorded, its curves, and the hypervolume of all reports."""
    files = SearchFolder(folder)
    spec = load_spec(str(files.search_file))
    recording = Recording(spec.space, read_log(files))
    return spec, recording, recording.best_hypervolume


def print_table(
    folder: Path, methods: list[str], runs: list[Run], arguments: argparse.Namespace
) -> None:
    spec, recording, best = load_recording(folder)
    budget = arguments.budget * spec.search.max_epochs
    print(f"\n{folder.name}: {len(recording.trials)} settings of {spec.search.max_epochs} epochs,")
    print(f"best hypervolume {best:.4f}; budget {budget} epochs, {arguments.workers} workers,")
    print(f"{arguments.seeds} seeds\n")
    points = [f"{share:.0%} ({round(share * budget)})" for share in BUDGET_SHARES]
    print("|".join(["", " search ", *points, *(f" to {goal:.0%} " for goal in GOALS), " trials |"]))
    print("|" + "---|" * (len(points) + len(GOALS) + 2))
    for method in methods:
        print(table_row(method, [run for run in runs if run.method == method], budget))


def table_row(method: str, runs: list[Run], budget: int) -> str:
    cells = [method]
    for column in zip(*(run.shares for run in runs), strict=True):
        low, middle, high = np.percentile(column, [25, 50, 75])
        cells.append(f"{middle:.2%} [{low:.1%}, {high:.1%}]")
    for column in zip(*(run.epochs_to_goals for run in runs), strict=True):
        median = statistics.median(column)
        reached = sum(math.isfinite(epochs) for epochs in column)
        shown = f"{median:.0f}" if math.isfinite(median) else f"> {budget}"
        cells.append(f"{shown} ({reached}/{len(column)})")
    cells.append(f"{statistics.median(run.trials for run in runs):.0f}")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

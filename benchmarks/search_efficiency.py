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
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import METHODS
from tunebox.engine import efficiency
from tunebox.engine.efficiency import Efficiency
from tunebox.engine.recorded import Recording
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.search_spec import SearchSpec

CURVES = Path(__file__).parent / "curves"
RECORDINGS = sorted(path.parent for path in CURVES.glob("*/trials.parquet"))


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
            runs = list(zip(jobs, pool.imap(run, jobs), strict=True))
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


def run(job: Job) -> Efficiency:
    spec, recording = load_recording(job.folder)
    last = spec.search.max_epochs
    search = SearchSettings(max_epochs=last, seed=job.seed)
    method = METHODS[job.method](spec.space, spec.objective_set, search)
    return efficiency.measure(method, recording, job.workers, job.budget * last)


@functools.lru_cache(maxsize=1)
def load_recording(folder: Path) -> tuple[SearchSpec, Recording]:
    """Return the search that was recorded, and its curves."""
    files = SearchFolder(folder)
    spec = load_spec(str(files.search_file))
    return spec, Recording(spec.space, read_log(files))


def print_table(
    folder: Path,
    methods: list[str],
    runs: list[tuple[Job, Efficiency]],
    arguments: argparse.Namespace,
) -> None:
    spec, recording = load_recording(folder)
    budget = arguments.budget * spec.search.max_epochs
    best = recording.best_hypervolume
    print(f"\n{folder.name}: {len(recording.trials)} settings of {spec.search.max_epochs} epochs,")
    print(f"best hypervolume {best:.4f}; budget {budget} epochs, {arguments.workers} workers,")
    print(f"{arguments.seeds} seeds\n")
    headings = ["search", *efficiency.headings(budget)]
    print(table_line(headings))
    print(table_line(["---"] * len(headings)))
    for method in methods:
        of_method = [reached for job, reached in runs if job.method == method]
        print(table_line([method, *efficiency.row(of_method, budget)]))


def table_line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()

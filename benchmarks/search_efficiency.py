"""Hypervolume for each epoch of training spent: tunebox and its peers on recorded curves.

    pip install '.[bench]'
    python -m benchmarks.search_efficiency [--recordings FOLDER ..] [--seeds 20] [--jobs 2]
    python -m benchmarks.search_efficiency --smooth [FOLDER ..]
    python -m benchmarks.search_efficiency --lcbench DIR [--problems NAME ..]

Each search runs on a simulated clock with the same number of workers and the same budget. The
rungs are tunebox's defaults in every search that stops trials, and everything else is the default
of the search. Printed is a table in Markdown for each recording: the hypervolume of all reports,
as a share of the hypervolume of all that was recorded, at four points of the budget (median and
quartiles over seeds), and the median epochs spent when it reached 95 and 99 %.

With ``--smooth`` or ``--lcbench`` the searches run on problems of which the truth is known
(`benchmarks.smooth` and `benchmarks.lcbench`). Printed is the share of the true front's
hypervolume, for problems with noise that of the front which the search would print, and the epochs
spent when it reached what the best peer has at its end, and 99 % of it. Peers are all searches
without tunebox in their name. With three problems or more, the average ranks of the searches
follow, with a test of whether they differ (`benchmarks.ranks`).
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import known_truth, lcbench, ranks
from benchmarks.peers import METHODS
from benchmarks.problems import Problem
from benchmarks.recordings import RECORDINGS, load_recording, table_line
from benchmarks.smooth import SmoothProblem, smooth_problem
from tunebox.engine import efficiency
from tunebox.engine.efficiency import Efficiency
from tunebox.spec.search_settings import SearchSettings


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
    if arguments.smooth is not None or arguments.lcbench is not None:
        problems = known_problems(arguments)
        ends = [print_comparison(problem, methods, arguments) for problem in problems]
        print("\n".join(["", *ranks.describe(ends)]))
        return
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
    parser.add_argument("--smooth", type=Path, nargs="*", help="recordings; all without one")
    parser.add_argument("--lcbench", type=Path, help="folder with model.onnx and encoding.json")
    parser.add_argument("--problems", nargs="+", choices=lcbench.PROBLEMS, help="of LCBench")
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


def known_problems(arguments: argparse.Namespace) -> Iterator[Problem]:
    """Yield the problems that were asked for, one at a time: each takes a while to make."""
    if arguments.lcbench is not None:
        for name in arguments.problems or lcbench.PROBLEMS:
            yield lcbench.LcBench(name, arguments.lcbench)
    if arguments.smooth is not None:
        for folder in arguments.smooth or RECORDINGS:
            yield smooth_problem(folder)


def print_comparison(
    problem: Problem, methods: list[str], arguments: argparse.Namespace
) -> dict[str, float]:
    """Print the table of a problem, and return the median share of each method at its end."""
    budget = arguments.budget * problem.max_epochs
    searches = known_truth.compare(
        problem,
        methods,
        seeds=arguments.seeds,
        workers=arguments.workers,
        budget=budget,
        jobs=arguments.jobs,
    )
    print(f"\n{problem.name}: {problem.max_epochs} epochs, hypervolume of the true front")
    print(f"{problem.best_hypervolume:.6g}; budget {budget} epochs, {arguments.workers} workers,")
    print(f"{arguments.seeds} seeds")
    if isinstance(problem, SmoothProblem):
        shares = " and ".join(f"{share:.2f}" for share in problem.fit_of_held_out)
        print(f"the model explains {shares} of the variance of held-out settings")
    print()
    for line in known_truth.table(searches, budget):
        print(line, flush=True)
    return known_truth.median_ends(searches)


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


if __name__ == "__main__":
    main()

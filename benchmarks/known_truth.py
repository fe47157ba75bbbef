"""Searches on problems of which the truth is known, and a table that compares them."""

from __future__ import annotations

import math
import multiprocessing
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.peers import METHODS
from benchmarks.problems import Played, Problem, play
from benchmarks.recordings import table_line
from tunebox.engine.efficiency import BUDGET_SHARES
from tunebox.spec.search_settings import SearchSettings

OURS = "tunebox"  # in the name of every search that is no peer


@dataclass(frozen=True)
class Job:
    method: str
    seed: int
    workers: int
    budget: int  # epochs


class _Current:
    problem: Problem  # of this process


def compare(
    problem: Problem, methods: Sequence[str], *, seeds: int, workers: int, budget: int, jobs: int
) -> dict[str, list[Played]]:
    """Return the searches of each method on a problem, one for each seed.

    Args:
        problem: What is searched.
        methods: Names of `METHODS`.
        seeds: Searches of each method.
        workers: Trials of a search that run at the same time.
        budget: Epochs of a search.
        jobs: Searches that run at the same time.
    """
    work = [Job(method, seed, workers, budget) for seed in range(seeds) for method in methods]
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=set_problem, initargs=(problem,)) as pool:
        played = pool.map(run, work, chunksize=1)
    return {
        method: [one for job, one in zip(work, played, strict=True) if job.method == method]
        for method in methods
    }


def set_problem(problem: Problem) -> None:
    _Current.problem = problem


def run(job: Job) -> Played:
    problem = _Current.problem
    search = SearchSettings(max_epochs=problem.max_epochs, seed=job.seed)
    method = METHODS[job.method](problem.space, problem.objectives, search)
    return play(method, problem, workers=job.workers, budget=job.budget, seed=job.seed)


def table(searches: Mapping[str, list[Played]], budget: int) -> list[str]:
    """Return the lines of a table with a row for each method.

    Without a peer among the methods there are no columns of epochs.
    """
    level = level_of_peers(searches)
    headings = [f"{share:.0%} ({round(share * budget)})" for share in BUDGET_SHARES]
    if level is not None:
        headings += [f"to {level:.1%}, the best peer's end", f"to {0.99 * level:.1%}, 99 % of it"]
    headings = ["search", *headings, "ms a suggestion, p95", "trials"]
    rows = [[name, *row(played, budget, level)] for name, played in searches.items()]
    return [table_line(cells) for cells in (headings, ["---"] * len(headings), *rows)]


def level_of_peers(searches: Mapping[str, list[Played]]) -> float | None:
    """Return the largest median share that a peer has at its end, None without a peer."""
    ends = median_ends(searches)
    return max((end for name, end in ends.items() if OURS not in name), default=None)


def median_ends(searches: Mapping[str, list[Played]]) -> dict[str, float]:
    """Return the median share that each method has at its end."""
    return {
        name: statistics.median(float(one.shares[-1]) for one in played)
        for name, played in searches.items()
    }


def row(played: Sequence[Played], budget: int, level: float | None) -> list[str]:
    """Return the cells of one method: medians over seeds, with quartiles of the shares."""
    cells = []
    for share in BUDGET_SHARES:
        column = [one.shares[max(1, round(share * len(one.shares))) - 1] for one in played]
        low, middle, high = np.percentile(column, [25, 50, 75])
        cells.append(f"{middle:.1%} [{low:.0%}, {high:.0%}]")
    for goal in (1.0, 0.99) if level is not None else ():
        epochs = [epochs_to(one, goal * (level or 0.0)) for one in played]
        median = statistics.median(epochs)
        reached = sum(math.isfinite(number) for number in epochs)
        shown = f"{median:.0f}" if math.isfinite(median) else f"> {budget}"
        cells.append(f"{shown} ({reached}/{len(epochs)})")
    seconds = np.concatenate([one.suggestion_seconds for one in played])
    cells.append(f"{1e3 * np.median(seconds):.0f}, {1e3 * np.percentile(seconds, 95):.0f}")
    return [*cells, f"{statistics.median(one.num_trials for one in played):.0f}"]


def epochs_to(played: Played, share: float) -> float:
    """Return the epochs spent when a share was reached, infinite if it never was."""
    reached = np.flatnonzero(played.shares >= share)
    return float(reached[0] + 1) if len(reached) else math.inf

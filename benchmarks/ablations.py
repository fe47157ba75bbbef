"""What the choices of tunebox's search are worth: each replaced by an alternative, on a recording.

    python -m benchmarks.ablations [--recording FOLDER] [--seeds 20] [--variants promotion ..]

Every variant runs like a search in `benchmarks.search_efficiency`, with tunebox's defaults for all
that it does not replace. Printed is the table of that benchmark, and beside it the hypervolume's
share averaged over the epochs of the budget, with the mean difference to tunebox seed by seed and
in how many seeds the variant was better.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.trial import TrialState as OptunaState

from benchmarks.recordings import CURVES, load_recording, table_line
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.method import SearchMethod, Verdict
from tunebox.decisions.points import PointSampler
from tunebox.decisions.sampler import NO_VIOLATIONS, RungSampler
from tunebox.decisions.trials import non_finite_metric
from tunebox.engine import efficiency
from tunebox.engine.efficiency import Efficiency
from tunebox.pareto.dominance import nondomination_ranks
from tunebox.pareto.isolation import crowding_distances
from tunebox.pareto.objectives import FloatArray, Objectives
from tunebox.pareto.rungs import Ladder
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.space import Space

TUNEBOX = "tunebox"


class Promotion(Decisions):
    """Trials pause at every rung; a free worker goes on with the best that may [Li2020].

    [Li2020] L. Li et al. A system for massively parallel hyperparameter tuning. MLSys 2020,
        algorithm 2: of the ``n`` trials at a rung the best ``floor(n / reduction_factor)`` may go
        on; the highest rung comes first, and a new trial is started only if none may.
    """

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        super().__init__(space, objectives, search)
        self._reduction_factor = search.reduction_factor
        self._rungs: dict[int, dict[str, FloatArray]] = {e: {} for e in self._ladder.epochs}
        self._promoted: set[tuple[int, str]] = set()

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        costs = self._objectives.costs(metrics)
        if non_finite_metric(metrics) is not None:
            return Verdict.STOP
        self._sampler.tell(trial_id, epoch, costs, NO_VIOLATIONS)
        if epoch in self._rungs:
            self._rungs[epoch][trial_id] = costs
            return Verdict.PAUSE
        return Verdict.CONTINUE if epoch < self._max_epochs else Verdict.STOP

    def choose_paused(self) -> str | None:
        chosen = self._choose()
        return None if chosen is None else chosen[1]

    def promote(self, trial_id: str) -> None:
        chosen = self._choose()
        assert chosen is not None
        assert chosen[1] == trial_id
        self._promoted.add(chosen)

    def _choose(self) -> tuple[int, str] | None:
        for epoch, rung in sorted(self._rungs.items(), reverse=True):
            best = best_first(rung)[: len(rung) // self._reduction_factor]
            for trial_id in best:
                if (epoch, trial_id) not in self._promoted:
                    return epoch, trial_id
        return None


def best_first(rung: Mapping[str, FloatArray]) -> list[str]:
    """Return the trials by rank, inside a front the most isolated first."""
    if not rung:
        return []
    costs = np.stack(list(rung.values()))
    ranks = nondomination_ranks(costs)
    isolation = np.zeros(len(costs))
    for rank in set(ranks.tolist()):
        isolation[ranks == rank] = crowding_distances(costs[ranks == rank])
    trial_ids = list(rung)
    return [trial_ids[index] for index in np.lexsort([-isolation, ranks])]


class Brackets(Decisions):
    """Trials take turns on ladders with one, two, .. rungs, the last of them with none."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        super().__init__(space, objectives, search)
        self._ladders = [
            Ladder(start, search.max_epochs, search.reduction_factor) for start in self.rungs
        ]

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self._ladder = self._ladders[int(trial_id) % len(self._ladders)]
        return super().report(trial_id, epoch, metrics)


class OneStudy(Decisions):
    """One study; every trial enters it at its end, with its last values."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        super().__init__(space, objectives, search)
        last = search.max_epochs
        self._sampler = RungSampler(space, (last,), objectives.reference_costs, search.seed)
        self._last: dict[str, FloatArray] = {}

    def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> Verdict:
        self._last[trial_id] = self._objectives.costs(metrics)
        return super().report(trial_id, epoch, metrics)

    def end(self, trial_id: str, failed: bool) -> None:
        if not failed:
            self._sampler.tell(trial_id, self._max_epochs, self._last[trial_id], NO_VIOLATIONS)
        super().end(trial_id, failed)


class RandomStart(Decisions):
    """The first settings, before there is a model, are drawn at random."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        super().__init__(space, objectives, search)
        assert isinstance(self._sampler, RungSampler)
        self._sampler._first = PointSampler("random", space, search.seed)


class ForgetfulSampler(RungSampler):
    """Takes out of a study what was stopped before it got there."""

    def _state_of_stopped(self, epoch: int) -> OptunaState:
        return OptunaState.FAIL


class StoppedForgotten(Decisions):
    """A study knows the trials that came as far as its epoch, and no others."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        super().__init__(space, objectives, search)
        reference = objectives.reference_costs
        self._sampler = ForgetfulSampler(space, self.rungs, reference, search.seed)


class OnlyFinished(Decisions):
    """One study, which knows the trials that were trained to the end, and no others."""

    def __init__(self, space: Space, objectives: Objectives, search: SearchSettings) -> None:
        super().__init__(space, objectives, search)
        epochs = (search.max_epochs,)
        self._sampler = ForgetfulSampler(space, epochs, objectives.reference_costs, search.seed)


def with_settings(
    space: Space, objectives: Objectives, search: SearchSettings, **settings: object
) -> Decisions:
    changed = SearchSettings.model_validate({**search.model_dump(), **settings})
    return Decisions(space, objectives, changed)


def without_rungs(space: Space, objectives: Objectives, search: SearchSettings) -> Decisions:
    return with_settings(space, objectives, search, min_epochs=search.max_epochs)


VARIANTS: dict[str, Callable[[Space, Objectives, SearchSettings], SearchMethod]] = {
    TUNEBOX: Decisions,
    "first settings at random": RandomStart,
    "inside a front: epsilon-net": functools.partial(with_settings, front_rule="epsilon_net"),
    "inside a front: hypervolume contribution": functools.partial(
        with_settings, front_rule="hypervolume"
    ),
    "promotion of paused trials": Promotion,
    "brackets": Brackets,
    "one study, all trials with their last values": OneStudy,
    "one study, finished trials alone": OnlyFinished,
    "a study for each rung, stopped trials ignored above": StoppedForgotten,
    "no rungs": without_rungs,
}


@dataclass(frozen=True)
class Job:
    folder: Path
    variant: str
    seed: int
    workers: int
    budget: int  # in full-length trainings


def main() -> None:
    arguments = parse_arguments()
    chosen = [name for name in VARIANTS if any(part in name for part in arguments.variants or [""])]
    jobs = [
        Job(arguments.recording, name, seed, arguments.workers, arguments.budget)
        for seed in range(arguments.seeds)
        for name in dict.fromkeys([TUNEBOX, *chosen])
    ]
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        runs = list(zip(jobs, pool.imap(run, jobs), strict=True))
    spec, recording = load_recording(arguments.recording)
    budget = arguments.budget * spec.search.max_epochs
    print(f"{len(recording.trials)} settings, budget {budget} epochs, {arguments.workers} workers,")
    print(f"{arguments.seeds} seeds; {time.monotonic() - start:.0f} s\n")
    print_table(runs, budget)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recording", type=Path, default=CURVES / "digits")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=8, help="simulated")
    parser.add_argument("--budget", type=int, default=64, help="in full-length trainings")
    parser.add_argument("--jobs", type=int, default=1, help="replays at the same time")
    parser.add_argument("--variants", nargs="+", help="parts of names; all without it")
    return parser.parse_args()


def run(job: Job) -> Efficiency:
    spec, recording = load_recording(job.folder)
    last = spec.search.max_epochs
    search = SearchSettings(max_epochs=last, seed=job.seed)
    method = VARIANTS[job.variant](spec.space, spec.objective_set, search)
    return efficiency.measure(method, recording, job.workers, job.budget * last)


def print_table(runs: list[tuple[Job, Efficiency]], budget: int) -> None:
    headings = ["variant", *efficiency.headings(budget), "mean", "difference"]
    print(table_line(headings))
    print(table_line(["---"] * len(headings)))
    base = {job.seed: reached.mean for job, reached in runs if job.variant == TUNEBOX}
    for variant in dict.fromkeys(job.variant for job, _ in runs):
        by_seed = {job.seed: reached for job, reached in runs if job.variant == variant}
        gains = [100 * (reached.mean - base[seed]) for seed, reached in by_seed.items()]
        mean = statistics.mean(reached.mean for reached in by_seed.values())
        better = sum(gain > 0 for gain in gains)
        difference = "" if variant == TUNEBOX else f"{statistics.mean(gains):+.2f} ({better})"
        cells = efficiency.row(list(by_seed.values()), budget)
        print(table_line([variant, *cells, f"{100 * mean:.1f}", difference]))


if __name__ == "__main__":
    main()

"""What it costs a search that nothing happens to that nothing would be lost.

    python -m benchmarks.fault_overhead [--pairs 5] [--trials 144]

The default search with and without journal, checkpoints, MLflow, lock and waiting for the disk, in
pairs on one Ray, each arm first in every second pair. One trial runs at a time: two would report in
another order each time, stop others, and make another search of it. Compared are the seconds of the
whole search and the CPU time of the driver, the trials and Ray together: with all CPUs busy, that
is what a search takes. Other programs on the machine disturb the first, and hardly the second.

No arm logs the models of the front to MLflow: that is an export for each trial of the front, at the
end of the search, and costs the same after a short search as after one of days. It is measured by
itself, as are the seconds that the driver spent in the journal, and what the checkpoints of the
search cost a trial.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import ray
import torch

import tunebox
from benchmarks.machine import family_clock
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.events import Event, Observer
from tunebox.engine.ray.executor import RayTuneExecutor
from tunebox.records.checkpoints import write_checkpoint
from tunebox.records.journal import JournalWriter
from tunebox.spec.load import load_spec
from tunebox.tracking.client import Store
from tunebox.tracking.runs import ModelSource
from tunebox.training.trial_run import TrialRun
from tunebox.verbs.results import SearchResult


@dataclass(frozen=True)
class Cost:
    """What a search took, in seconds."""

    wall: float
    cpu: float  # of all processes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=144)
    arguments = parser.parse_args()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    pairs: list[dict[bool, Cost]] = []
    with tempfile.TemporaryDirectory(prefix="overhead-") as out:
        search(out, 4, "warm-up")
        for number in range(arguments.pairs):
            arms = (True, False) if number % 2 else (False, True)
            pairs.append({safe: one(out, arguments.trials, number, safe) for safe in arms})
        parts = timed_parts(out, arguments.trials)
    ray.shutdown()
    for what in ("wall", "cpu"):
        ratios = [getattr(pair[True], what) / getattr(pair[False], what) for pair in pairs]
        print(
            f"{what}: with / without, median of {len(ratios)} pairs "
            f"{statistics.median(ratios):.3f} (from {min(ratios):.3f} to {max(ratios):.3f})"
        )
    print_parts(parts)


def one(out: str, trials: int, number: int, is_safe: bool) -> Cost:
    """Run one arm of a pair."""
    name = f"{'safe' if is_safe else 'bare'}-{number}"
    arm = mock.patch.object(Store, "_send_model") if is_safe else without()
    with family_clock() as cpu_seconds, arm:
        start, cpu_start = time.perf_counter(), cpu_seconds()
        result = search(out, trials, name)
        cost = Cost(time.perf_counter() - start, cpu_seconds() - cpu_start)
    print(
        f"{name}: {result.log.epochs_spent} epochs in {cost.wall:.1f} s, "
        f"{cost.cpu:.1f} s of the CPUs",
        flush=True,
    )
    return cost


def search(out: str, trials: int, name: str) -> SearchResult:
    return tunebox.search("digits", trials=trials, max_concurrent=1, name=name, out=out)


def duration(result: SearchResult) -> float:
    """Return the seconds from the start of the first trial to the end of the last."""
    trials = result.log.trials.values()
    return max(t.end_time or 0.0 for t in trials) - min(t.start_time for t in trials)


class Untracked(Observer):
    """Stands where MLflow's runs would be kept."""

    warnings: tuple[str, ...] = ()


@contextmanager
def without() -> Iterator[None]:
    """Let a search write no journal, checkpoints, MLflow runs or lock, and never wait."""
    make = RayTuneExecutor.__init__

    def without_checkpoints(
        executor: RayTuneExecutor, spec: Any, rungs: Any, *arguments: Any
    ) -> None:
        make(executor, spec, (), *arguments)

    with (
        mock.patch("tunebox.verbs.running.JournalWriter", return_value=Observer()),
        mock.patch.object(RayTuneExecutor, "__init__", without_checkpoints),
        mock.patch("tunebox.tracking.projection.MlflowProjection", return_value=Untracked()),
        mock.patch("tunebox.verbs.search.locked", return_value=nullcontext()),
        mock.patch.object(os, "fsync"),
    ):
        yield


@dataclass
class Parts:
    """What parts of a search took, in seconds."""

    result: SearchResult
    journal: float  # of the driver
    models: list[float]  # CPU time of each logged model


def timed_parts(out: str, trials: int) -> Parts:
    """Run the search once more, and measure parts of it."""
    journal, models = [0.0], list[float]()
    send_model = Store._send_model

    class Timed(JournalWriter):
        def on(self, event: Event) -> None:
            start = time.perf_counter()
            super().on(event)
            journal[0] += time.perf_counter() - start

        def tick(self) -> None:
            start = time.perf_counter()
            super().tick()
            journal[0] += time.perf_counter() - start

    def timed(store: Store, run_id: str, source: ModelSource | None) -> None:
        start = time.thread_time()
        send_model(store, run_id, source)
        models.append(time.thread_time() - start)

    with (
        mock.patch("tunebox.verbs.running.JournalWriter", Timed),
        mock.patch.object(Store, "_send_model", timed),
    ):
        result = search(out, trials, "timed")
    return Parts(result, journal[0], models)


def print_parts(parts: Parts) -> None:
    total = duration(parts.result)
    trials = parts.result.log.trials.values()
    spec = load_spec("digits")
    rungs = Decisions(spec.space, spec.objective_set, spec.search).rungs
    num_checkpoints = sum(rung <= trial.epochs for trial in trials for rung in rungs)
    cost = checkpoint_seconds()
    share = (parts.journal + num_checkpoints * cost) / total
    print(
        f"of {total:.1f} s: {parts.journal:.2f} s in the journal; {num_checkpoints} checkpoints "
        f"of {1000 * cost:.1f} ms, {num_checkpoints * cost:.2f} s; together "
        f"{100 * share:.1f} %"
    )
    print(f"{len(parts.models)} models of the front: {sum(parts.models):.1f} s of the CPU")


def checkpoint_seconds(repeats: int = 50) -> float:
    """Return the median seconds of writing a checkpoint of a trial of the default search."""
    spec = load_spec("digits")
    values = spec.space.draw(lambda leaf: leaf.distribution.ends[-1])
    run = TrialRun(spec.trial_config(values), seed=0, max_epochs=5, device=torch.device("cpu"))
    reports = [run.run_epoch()]
    content = {**run.weights(), "state": run.state_dict(), "reports": reports}
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            start = time.perf_counter()
            write_checkpoint(Path(folder) / "t", number, content)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()

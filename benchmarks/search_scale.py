"""What many trials cost the driver: a suggestion, a decision, and a whole search of short trials.

    python -m benchmarks.search_scale decisions [--trials 100 1000 10000] [--sampler tpe]
    python -m benchmarks.search_scale search [--trials 2000] [--cpus 2]
    python -m benchmarks.search_scale memory [--trials 10000] [--sampler tpe]

`decisions` fills tunebox's decisions with random settings of a recording and their curves, and
then measures what the next suggestions and reports at a rung cost. `search` runs a search with
real Ray, tables and MLflow, whose trials train two epochs on 128 digits, and prints
what the driver's process did, and how far MLflow was behind when the last trial had ended. Times
are of the CPU, so that other work on the machine does not count; the wall clock is given where it
matters. `memory` runs trials that do nothing in the driver's process, with MLflow in a database,
and prints its memory as they get more.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tunebox.decisions.decisions import Decisions
from tunebox.decisions.events import Ended, Event
from tunebox.decisions.method import Verdict
from tunebox.decisions.trials import TrialRecord
from tunebox.engine.recorded import Recording
from tunebox.reports.progress import SearchProgress
from tunebox.spec.sample import sample_values
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.search_spec import SearchSpec

SUGGESTION_LIMITS = {  # seconds, p95
    "tpe": {1000: 0.060, 10_000: 0.250},
    "gp": {300: 0.300, 1000: 1.000},
}
DECISION_LIMIT = 0.005
MEASURED = 60  # suggestions at each number of trials
JITTER = 1e-3  # in a metric: without it thousands of trials would share the recorded curves

SEARCH_FILE = """\
# What does a trial cost the driver?
data: {kind: digits, train_images: 128}
model: {kind: mlp, width: {choice: [4, 8]}, depth: 1, feature_dim: 4}
losses:
  choice:
    clean_only: {cross_entropy: {on: clean}}
    noisy_only:
      cross_entropy: {on: noisy}
      noise: {kind: gaussian, std: {uniform: [0.1, 1.2]}}
optimizer: {kind: sgd, lr: {log_uniform: [0.01, 0.2]}}
evaluation: {noise: {kind: gaussian, std: 0.8}, num_draws: 1}
search: {min_epochs: 1, max_epochs: 2}
"""

MEMORY_FILE = """\
# How much does a trial that is over keep in memory?
trial: loop.py:train
config:
  width: {{choice: [4, 8]}}
  rate: {{log_uniform: [0.01, 0.2]}}
  decay: {{uniform: [0, 1]}}
  depth: {{int_uniform: [1, 6]}}
objectives:
  accuracy: {{direction: maximize, reference: 0.0}}
  size: {{direction: minimize, reference: 1.0}}
search: {{min_epochs: 1, max_epochs: 2, sampler: {sampler}}}
"""
LOOP = """\
import random

def train(config, max_epochs):
    for epoch in range(max_epochs):
        metrics = {"accuracy": random.random(), "size": random.random()}
        yield metrics | {f"other_{number}": random.random() for number in range(8)}
"""
CURVES = Path(__file__).parent / "curves"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    decisions = verbs.add_parser("decisions")
    decisions.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    decisions.add_argument("--recording", type=Path, default=CURVES / "digits")
    decisions.add_argument("--sampler", default="tpe")
    search = verbs.add_parser("search")
    search.add_argument("--trials", type=int, default=2000)
    search.add_argument("--cpus", type=int, default=2)
    search.add_argument("--tracking-uri", help="of a server; else MLflow is in a new database")
    search.add_argument("--time-budget", type=float, help="seconds; ends it where it then is")
    memory = verbs.add_parser("memory")
    memory.add_argument("--trials", type=int, default=10_000)
    memory.add_argument("--sampler", default="tpe")
    arguments = parser.parse_args()
    if arguments.verb == "decisions":
        measure_decisions(arguments.recording, sorted(arguments.trials), arguments.sampler)
    elif arguments.verb == "memory":
        measure_memory(arguments.trials, arguments.sampler)
    else:
        measure_search(
            arguments.trials, arguments.cpus, arguments.time_budget, arguments.tracking_uri
        )


def measure_decisions(folder: Path, counts: list[int], sampler: str) -> None:
    from benchmarks.recordings import load_recording

    spec, recording = load_recording(folder)
    filled = Filled(spec, recording, sampler)
    limits = SUGGESTION_LIMITS.get(sampler, {})
    print("| finished trials | suggestion p50 | p95 | limit | decision p50 | p95 | limit |")
    print("|---|---|---|---|---|---|---|")
    for count in counts:
        while filled.num_trials < count:
            filled.run_trial(is_suggested=False)
        filled.suggestions.clear()
        filled.decisions.clear()
        for _ in range(MEASURED):
            filled.run_trial(is_suggested=True)
        suggestion = cells(filled.suggestions, limits.get(count))
        print(f"| {count} | {suggestion} | {cells(filled.decisions, DECISION_LIMIT)} |", flush=True)


class Filled:
    """Decisions that are told of trials one after the other, and what that cost."""

    def __init__(self, spec: SearchSpec, recording: Recording, sampler: str) -> None:
        search = SearchSettings(max_epochs=spec.search.max_epochs, sampler=sampler)
        self._spec, self._recording = spec, recording
        self._decisions = Decisions(spec.space, spec.objective_set, search)
        self._first_rung = search.first_rung
        self._generator = random.Random(0)
        self.num_trials = 0
        self.suggestions: list[float] = []  # seconds of CPU time
        self.decisions: list[float] = []  # only of reports at the first rung

    def run_trial(self, *, is_suggested: bool) -> None:
        trial_id = f"{self.num_trials:05d}"
        self.num_trials += 1
        if is_suggested:
            start = time.thread_time()
            values = self._decisions.suggest(trial_id)
            self._decisions.adopt(trial_id, values)
            self.suggestions.append(time.thread_time() - start)
        else:
            values = sample_values(self._spec.space, self._generator)
            self._decisions.adopt(trial_id, values)
        curve = self._recording.nearest(values)
        self._report(trial_id, curve)
        self._decisions.end(trial_id, failed=False)

    def _report(self, trial_id: str, curve: TrialRecord) -> None:
        shift = {name: self._generator.gauss(0, JITTER) for name in self._spec.objectives}
        for report in curve.history:
            metrics = {name: x + shift.get(name, 0) for name, x in report.metrics.items()}
            start = time.thread_time()
            verdict = self._decisions.report(trial_id, report.epoch, metrics)
            if report.epoch == self._first_rung:
                self.decisions.append(time.thread_time() - start)
            if verdict is Verdict.STOP:
                return


def cells(seconds: list[float], limit: float | None) -> str:
    middle, high = np.percentile(seconds, [50, 95])
    times = f"{1000 * middle:.2f} ms | {1000 * high:.2f} ms"
    if limit is None:
        return f"{times} | "
    return f"{times} | {1000 * limit:.0f} ms: {'pass' if high < limit else 'FAIL'}"


class Clock:
    """CPU time that the driver's threads spent in the functions that are watched, by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, name: str, part: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()
            try:
                return original(*args, **kwargs)
            finally:
                self.seconds[part] += time.thread_time() - start

        setattr(owner, name, watched)


def watched_clock() -> Clock:
    """Return a clock that watches the parts of a search which are tunebox's own."""
    from tunebox.records.journal import JournalWriter
    from tunebox.records.table_writer import TableWriter
    from tunebox.tracking.delivery import Delivery
    from tunebox.tracking.projection import MlflowProjection

    clock = Clock()
    for name in ("suggest", "adopt"):
        clock.watch(Decisions, name, "suggestions")
    for name in ("report", "end"):
        clock.watch(Decisions, name, "decisions")
    for owner in (TableWriter, MlflowProjection):
        for name in ("on", "tick"):
            clock.watch(owner, name, "records")
    for name in ("on", "tick"):
        clock.watch(JournalWriter, name, "journal")
    clock.watch(Delivery, "_round", "MLflow")  # in a thread of its own
    return clock


def watch_the_end() -> list[str]:
    """Return a list that gets a line on what MLflow lacked at the end of a search."""
    from tunebox.tracking.delivery import Delivery

    lines: list[str] = []
    close = Delivery.close

    def watched(self: Delivery) -> None:
        behind, start = self.backlog(), time.monotonic()
        close(self)
        seconds, left = time.monotonic() - start, self.backlog()
        lines.append(
            f"MLflow: {behind.num_updates} updates of {behind.num_trials} trials behind when the "
            f"last trial had ended, {left.num_updates} after {seconds:.1f} s"
        )

    Delivery.close = watched  # type: ignore[method-assign]
    return lines


def measure_search(
    trials: int, cpus: int, time_budget: float | None, tracking_uri: str | None
) -> None:
    import ray

    from tunebox.verbs.search import search

    clock, at_the_end = watched_clock(), watch_the_end()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "short.yaml"
        file.write_text(SEARCH_FILE, encoding="utf-8")
        ray.init(
            address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False,
            logging_level="ERROR", object_store_memory=200_000_000,
        )  # fmt: skip
        start, start_cpu = time.monotonic(), time.process_time()
        try:
            result = search(
                str(file),
                trials=trials,
                time_budget=time_budget,
                out=str(Path(folder) / "results"),
                tracking_uri=tracking_uri or f"sqlite:///{folder}/mlflow.db",
                display=functools.partial(SearchProgress, Console(stderr=True)),
            )
        finally:
            ray.shutdown()
        seconds, cpu = time.monotonic() - start, time.process_time() - start_cpu
    ended = result.log.num_ended
    print(f"{ended} trials in {seconds:.0f} s with {cpus} CPUs for trials")
    print(f"driver: {cpu:.0f} s of CPU time, {1000 * cpu / ended:.1f} ms a trial")
    print(*at_the_end, "", sep="\n")
    clock.seconds["Ray and the rest"] = cpu - sum(clock.seconds.values())
    print("| part of the driver | CPU time a trial | share |\n|---|---|---|")
    for part, spent in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        print(f"| {part} | {1000 * spent / ended:.2f} ms | {spent / cpu:.1%} |")


def measure_memory(trials: int, sampler: str) -> None:
    from tunebox.verbs.search import search

    start, num_ended, found = time.monotonic(), 0, {}

    def look(event: Event) -> None:
        nonlocal num_ended
        num_ended += isinstance(event, Ended)
        if isinstance(event, Ended) and num_ended in (1, *range(1000, trials + 1, 1000)):
            found[num_ended] = resident_megabytes()
            print(
                f"| {num_ended} | {found[num_ended]:.0f} MB | {time.monotonic() - start:.0f} s |",
                flush=True,
            )

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nothing.yaml"
        file.write_text(MEMORY_FILE.format(sampler=sampler), encoding="utf-8")
        (Path(folder) / "loop.py").write_text(LOOP, encoding="utf-8")
        print("| ended trials | memory of the driver | after |\n|---|---|---|")
        search(
            str(file),
            trials=trials,
            address="none",
            out=str(Path(folder) / "results"),
            tracking_uri=f"sqlite:///{folder}/mlflow.db",
            on_event=look,
        )
    print(f"\nat the end: {resident_megabytes():.0f} MB")


def resident_megabytes() -> float:
    """Return how much memory this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()

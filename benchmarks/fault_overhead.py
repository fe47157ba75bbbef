"""What journal and checkpoints cost a search that nothing happens to.

    python -m benchmarks.fault_overhead [--rounds 3] [--trials 144]

The default search, with and without, in turns on one Ray. Since other work on the machine moves
such totals by more than the difference, the parts are measured by themselves too: the seconds that
the driver spent in the journal, and what the checkpoints of the search cost a worker.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import ray
import torch

import tunebox
from tunebox import api
from tunebox.api import SearchResult
from tunebox.checkpoints import write_checkpoint
from tunebox.records.journal import JournalWriter
from tunebox.search.decisions import Decisions
from tunebox.spec.load import load_spec
from tunebox.training.trial_run import TrialRun
from tunebox.trials import SearchObserver


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=144)
    arguments = parser.parse_args()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory(prefix="overhead-") as out:
        search(out, 4, "warm-up")
        for number in range(arguments.rounds):
            for is_safe in (True, False) if number % 2 else (False, True):
                seconds[is_safe].append(one(out, arguments.trials, number, is_safe))
        journal_seconds, result = timed_journal(out, arguments.trials)
    ray.shutdown()
    safe, bare = statistics.median(seconds[True]), statistics.median(seconds[False])
    print(f"with {safe:.1f} s, without {bare:.1f} s, ratio {safe / bare:.3f}")
    print_parts(journal_seconds, result)


def one(out: str, trials: int, number: int, is_safe: bool) -> float:
    name = f"{'safe' if is_safe else 'bare'}-{number}"
    if is_safe:
        result = search(out, trials, name)
    else:
        with without():
            result = search(out, trials, name)
    taken = duration(result)
    print(f"{name}: {taken:.1f} s for {result.log.epochs_spent} epochs", flush=True)
    return taken


def search(out: str, trials: int, name: str) -> SearchResult:
    return tunebox.search("digits", trials=trials, name=name, out=out)


def duration(result: SearchResult) -> float:
    """Return the seconds from the start of the first trial to the end of the last."""
    trials = result.log.trials.values()
    return max(t.end_time or 0.0 for t in trials) - min(t.start_time for t in trials)


@contextmanager
def without() -> Iterator[None]:
    """Let a search write neither journal nor checkpoints."""
    with (
        mock.patch.object(api, "JournalWriter", return_value=SearchObserver()),
        mock.patch.object(Decisions, "rungs", ()),
    ):
        yield


def timed_journal(out: str, trials: int) -> tuple[float, SearchResult]:
    """Return the seconds that the driver spends in the journal, and the search."""
    spent = [0.0]

    class Timed(JournalWriter):
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if not name.startswith(("trial_", "search_", "tick")):
                return found

            def timed(*what: Any) -> None:
                start = time.perf_counter()
                found(*what)
                spent[0] += time.perf_counter() - start

            return timed

    with mock.patch.object(api, "JournalWriter", Timed):
        result = search(out, trials, "timed")
    return spent[0], result


def print_parts(journal_seconds: float, result: SearchResult) -> None:
    total = duration(result)
    trials = result.log.trials.values()
    spec = load_spec("digits")
    rungs = Decisions(spec.space, spec.objective_set, spec.search).rungs
    num_checkpoints = sum(rung <= trial.epochs for trial in trials for rung in rungs)
    cost = checkpoint_seconds()
    share = (journal_seconds + num_checkpoints * cost / 2) / total
    print(
        f"of {total:.1f} s: {journal_seconds:.2f} s in the journal; {num_checkpoints} checkpoints "
        f"of {1000 * cost:.1f} ms, over two workers {num_checkpoints * cost / 2:.2f} s; together "
        f"{100 * share:.1f} %"
    )


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

"""A search of the command line in a process of its own, and what can be done to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.command_line import start_tunebox

# One worker: the order of events, and with it the search, is the same in every run. With so many
# draws an epoch takes about a tenth of a second: what a test does between two epochs gets there.
SEARCH_FILE = """\
data: {kind: digits, train_images: 600}
model: {kind: mlp, width: {choice: [16, 32]}, depth: 1, feature_dim: 8}
losses:
  choice:
    clean_only: {cross_entropy: {on: clean}}
    noisy_only:
      cross_entropy: {on: noisy}
      noise: {kind: gaussian, std: {uniform: [0.3, 1.5]}}
optimizer: {kind: sgd, lr: {log_uniform: [0.02, 0.2]}}
evaluation: {noise: {kind: gaussian, std: 1.0}, num_draws: 300}
search: {trials: 10, min_epochs: 2, max_epochs: 6, reduction_factor: 2, seed: 3, max_concurrent: 1}
"""
CLOCK = ("time", "train_seconds", "images_per_second")
_PAUSE = 0.02  # seconds between two looks


class SearchProcess:
    """Runs ``tunebox search`` again and again on one search, in the folder ``home``."""

    def __init__(self, home: Path, *options: str, out: Path | None = None) -> None:
        """Write the search file; ``options`` go with every start."""
        self.home = home
        self.out = out or home / "out"
        self.folder = self.out / "s"
        self.tracking_uri = f"sqlite:///{home / 'store' / 'mlflow.db'}"
        (home / "store").mkdir(exist_ok=True)
        self.options = options
        self.variables: dict[str, str] = {}  # of the next start
        self.module = "tunebox"
        self.search_file = home / "faulty.yaml"
        self.search_file.write_text(SEARCH_FILE, encoding="utf-8")
        self.process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start the search, or go on with it if it was started before."""
        is_known = (self.folder / "search.yaml").exists()
        name = self.folder.name
        what = ("--resume", name) if is_known else (str(self.search_file), "--name", name)
        self.process = start_tunebox(
            *("search", *what, "--out", str(self.out), "--tracking-uri", self.tracking_uri),
            *(*self.options, *options),
            cwd=self.home,
            variables=self.variables,
            module=self.module,
        )
        return self.process

    def finish(self, timeout: float = 150) -> tuple[int, str, str]:
        """Wait for the end; return exit code, standard output and standard error."""
        assert self.process is not None
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        finally:
            self.process.kill()
        return self.process.returncode, stdout, stderr

    def kill(self) -> None:
        """Kill the driver, which gets no chance to do anything."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def count(self, event: str) -> int:
        """Return how often ``event`` is in the journal."""
        journal = self.folder / "journal.jsonl"
        wanted = f'"event": "{event}"'.encode()
        return journal.read_bytes().count(wanted) if journal.exists() else 0

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the whole lines of the journal that tell of ``event``."""
        lines = (self.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return [entry for entry in entries if entry.get("event") == event]

    def spare_checkpoints(self) -> list[Path]:
        """Return the checkpoints of trials that have not come to their last epoch.

        That is so where the last report in the journal is between two rungs. What came to its last
        epoch may end without another one, and then its checkpoint is that of its result.
        """
        ended = {event["trial"] for event in self.events("ended")}
        epochs = {event["trial"]: event["epoch"] for event in self.events("reported")}
        return [
            path
            for path in sorted((self.folder / "checkpoints").glob("*/*.pt"))
            if path.parent.name not in ended
            and not (path.parent / f"{epochs.get(path.parent.name, 0):06d}.pt").exists()
        ]

    def wait_for(self, event: str, count: int, timeout: float = 200) -> None:
        """Wait until ``event`` is in the journal so often, or the process has ended."""
        assert self.process is not None
        process = self.process
        wait_until(
            lambda: self.count(event) >= count or process.poll() is not None,
            f"{count} times {event}",
            timeout,
        )


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 200) -> None:
    """Wait for ``condition``, and raise TimeoutError naming ``what`` if it does not come."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} after {timeout} s")
        time.sleep(_PAUSE)


def outcome(folder: Path) -> tuple[list[tuple[Any, ...]], list[dict[str, Any]]]:
    """Return states and settings by trial and every report, without what a clock measures."""
    trials = pq.read_table(folder / "trials.parquet").to_pylist()
    history = pq.read_table(folder / "history.parquet").to_pylist()
    settings = [name for name in trials[0] if "/" in name and not name.startswith(("last", "best"))]
    rows = [
        (t["trial_id"], t["state"], t["epochs"], *(t[name] for name in (*settings, "losses")))
        for t in trials
    ]
    reports = [{k: v for k, v in row.items() if k not in CLOCK} for row in history]
    return rows, reports


def worker_pids(raylet: int) -> list[int]:
    """Return the processes in which a node trains, by the process of its raylet."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(entry) == raylet and b"Trainable" in _title(entry):
            found.append(int(entry.name))
    return found


def kill_process(pid: int) -> None:
    """Kill a process that may be gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1


def _title(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""

"""Random faults in a row on real searches: what was injected, lost, done twice, and the recovery.

    python -m benchmarks.fault_campaign --faults 50 --seed 0

Searches run one after the other on a Ray cluster of two nodes on this machine until so many faults
were injected; what and when comes from the seed. A fault that ends the driver is followed by
``tunebox search --resume``. After every search its tables and its MLflow runs are compared with
what its journal had just before each fault.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient
from ray.cluster_utils import Cluster
from rich.console import Console
from rich.table import Table

from tests.faults.check_records import check_records, child_runs
from tests.faults.search_process import SearchProcess, kill_process, worker_pids
from tunebox.events import Ended, Reported
from tunebox.records.journal import read_journal

KINDS = ("driver", "driver and journal", "driver and checkpoint", "interrupt", "worker", "node")
ENDS_THE_DRIVER = KINDS[:4]
_ROOM = {"num_cpus": 1, "object_store_memory": 80_000_000}

Report = tuple[str, int]  # trial, epoch


@dataclass
class Fault:
    """One fault, and the seconds until the next epoch that was new."""

    kind: str
    search: int
    num_reports: int
    recovery: float | None = None  # None: nothing was left to report


@dataclass
class Campaign:
    """Faults so far, and the searches in which they were."""

    random: random.Random
    cluster: Cluster
    node: Any
    faults: list[Fault] = field(default_factory=list)
    lost: int = 0
    twice: int = 0

    def run_search(self, home: Path, number: int, last_fault: int) -> None:
        """Run a search to its end, with faults until there are ``last_fault`` of them."""
        search = _make_search(home, str(self.cluster.address), seed=number)
        known: set[Report | str] = set()
        search.start()
        while len(self.faults) < last_fault:
            moment = search.count("reported") + self.random.randint(1, 12)
            search.wait_for("reported", moment)
            time.sleep(self.random.uniform(0, 0.5))
            assert search.process is not None
            if search.process.poll() is not None:
                break
            fault = Fault(self.random.choice(KINDS), number, search.count("reported"))
            known |= _known(search)
            self.faults.append(fault)
            self._inject(search, fault)
            print(f"{len(self.faults)}: search {number}, {fault.kind}", flush=True)
        code, stdout, stderr = search.finish(600)
        assert code == 0, stdout + stderr
        check_records(search.folder, search.tracking_uri)
        self._compare(search, known)

    def _inject(self, search: SearchProcess, fault: Fault) -> None:
        start = time.monotonic()
        if fault.kind == "worker":
            pids = [pid for raylet in self._raylets() for pid in worker_pids(raylet)]
            if pids:
                kill_process(self.random.choice(pids))
        elif fault.kind == "node":
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = self.cluster.add_node(**_ROOM)
        else:
            self._end_driver(search, fault.kind)
            search.start()
        before = fault.num_reports
        search.wait_for("reported", before + 1)
        if search.count("reported") > before:
            fault.recovery = time.monotonic() - start

    def _end_driver(self, search: SearchProcess, kind: str) -> None:
        assert search.process is not None
        if kind == "interrupt":
            search.process.send_signal(signal.SIGINT)
            search.finish(120)
            return
        search.kill()
        if kind == "driver and journal":
            with (search.folder / "journal.jsonl").open("ab") as journal:
                journal.write(b'{"event": "rep')
        if kind == "driver and checkpoint":
            checkpoints = [
                path
                for path in (search.folder / "checkpoints").rglob("*.pt")
                if search.is_unfinished(path.parent.name)
            ]
            for path in checkpoints:
                path.write_bytes(path.read_bytes()[:-100])

    def _raylets(self) -> list[int]:
        nodes = (self.cluster.head_node, self.node)
        return [int(node.all_processes["raylet"][0].process.pid) for node in nodes]

    def _compare(self, search: SearchProcess, known: set[Report | str]) -> None:
        history = pq.read_table(search.folder / "history.parquet").to_pylist()
        trials = pq.read_table(search.folder / "trials.parquet").to_pylist()
        in_tables: Counter[Report | str] = Counter(
            [(row["trial_id"], row["epoch"]) for row in history]
        )
        in_tables.update(row["trial_id"] for row in trials)
        for where in (in_tables, _in_mlflow(search)):
            self.lost += sum(where[item] == 0 for item in known)
            self.twice += sum(count > 1 for count in where.values())
        journal = read_journal(search.folder / "journal.jsonl").events
        reported = Counter(
            (event.trial_id, event.report.epoch) for event in journal if isinstance(event, Reported)
        )
        self.twice += sum(count > 1 for count in reported.values())


def _make_search(home: Path, address: str, seed: int) -> SearchProcess:
    home.mkdir()
    search = SearchProcess(home, "--address", address, "--seed", str(seed))
    text = search.search_file.read_text(encoding="utf-8")
    text = text.replace("trials: 10", "trials: 24").replace(", max_concurrent: 1", "")
    text = text.replace("num_draws: 2", "num_draws: 100")  # epochs of a part of a second
    search.search_file.write_text(text, encoding="utf-8")
    return search


def _known(search: SearchProcess) -> set[Report | str]:
    """Return the reports and the ended trials in the journal: what must not get lost."""
    found: set[Report | str] = set()
    for event in read_journal(search.folder / "journal.jsonl").events:
        if isinstance(event, Reported):
            found.add((event.trial_id, event.report.epoch))
        elif isinstance(event, Ended):
            found.add(event.trial_id)
    return found


def _in_mlflow(search: SearchProcess) -> Counter[Report | str]:
    client = MlflowClient(tracking_uri=search.tracking_uri)
    found: Counter[Report | str] = Counter()
    for run in child_runs(search.folder, search.tracking_uri):
        trial_id = run.data.tags["tunebox.trial_id"]
        found[trial_id] += 1
        for metric in client.get_metric_history(run.info.run_id, "clean_accuracy"):
            found[(trial_id, metric.step)] += 1
    return found


def _table(campaign: Campaign) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("fault", "injected", "median s to the next new epoch", "longest"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for kind in KINDS:
        faults = [fault for fault in campaign.faults if fault.kind == kind]
        times = [fault.recovery for fault in faults if fault.recovery is not None]
        median = f"{statistics.median(times):.1f}" if times else "-"
        longest = f"{max(times):.1f}" if times else "-"
        table.add_row(kind, str(len(faults)), median, longest)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cluster = Cluster(initialize_head=True, head_node_args={**_ROOM, "include_dashboard": False})
    try:
        campaign = Campaign(random.Random(arguments.seed), cluster, cluster.add_node(**_ROOM))
        with tempfile.TemporaryDirectory(prefix="faults-") as home:
            number = 0
            while len(campaign.faults) < arguments.faults:
                campaign.run_search(Path(home) / f"{number}", number, arguments.faults)
                number += 1
    finally:
        cluster.shutdown()
    Console().print(_table(campaign))
    print(
        f"{len(campaign.faults)} faults in {number} searches; "
        f"lost: {campaign.lost}; done twice: {campaign.twice}"
    )


if __name__ == "__main__":
    main()

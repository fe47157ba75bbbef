"""Random faults in a row on real searches: what was injected, lost, done twice, and the recovery.

    python -m benchmarks.fault_campaign --faults 50 --seed 0

Searches run one after the other on a Ray cluster of two nodes on this machine, with an MLflow
server, until so many faults were injected; what and when comes from the seed. A fault that ends the
driver is followed by ``tunebox search --resume``. After every search its tables and its MLflow runs
are compared with what its journal had just before each fault: what is gone, what is there twice,
and what is damaged: a value that is another, and every search whose front, weights or runs are not
what they must be. To recover means: the journal has an epoch that is new; after a fault of MLflow:
MLflow has taken something again. Ctrl-C ends it early, without a look at the last search.

Needs to be allowed to mount a small file system.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient
from ray.cluster_utils import Cluster
from rich.console import Console
from rich.table import Table

from tests.command_line import run_tunebox
from tests.faults.check_records import check_records, check_weights, child_runs
from tests.faults.faulty_proxy import Fault as Answer
from tests.faults.faulty_proxy import FaultyProxy
from tests.faults.mlflow_server import MlflowServer
from tests.faults.search_process import SearchProcess, kill_process, wait_until, worker_pids
from tests.faults.small_disk import fill, small_disk
from tunebox.decisions.events import Ended, Reported
from tunebox.records.journal import read_journal

KINDS = (
    "driver killed",
    "driver killed, end of the journal damaged",
    "driver killed, newest checkpoints damaged",
    "driver killed, a bit flipped",
    "Ctrl-C",
    "disk full",
    "worker killed",
    "node killed",
    "second driver",
    "MLflow frozen for seconds",
    "MLflow killed and started again",
    "MLflow killed and started with an empty store",
    "MLflow answers 500 for seconds",
    "MLflow answers late or not at all for seconds",
)
_ANSWERS: dict[str, tuple[Answer, ...]] = {
    "MLflow answers 500 for seconds": ("error",),
    "MLflow answers late or not at all for seconds": ("late answer", "lost answer"),
}
_REFUSED = ("search.yaml", "journal.jsonl")  # a resume refuses the folder until they are put back
_FLIPPED = (*_REFUSED, "mlflow.json", "trials.parquet", "history.parquet", "front.parquet")
_TIMEOUT = "2"  # seconds for which an answer is waited for; a late one comes after more
_ROOM = {"num_cpus": 1, "object_store_memory": 80_000_000}
_DISK_MEGABYTES = 48
_PATIENCE = 900.0  # seconds, on a busy machine
_TRIES = 5
_TABLES = ("runs", "params", "tags", "metrics")  # of MLflow, in which each delivery adds rows

Report = tuple[str, int]  # trial, epoch
Known = dict[Report | str, dict[str, float]]  # the metrics of reports; ended trials have none


@dataclass
class Fault:
    """One fault, and the seconds until the search, or MLflow, went on."""

    kind: str
    num_reports: int
    recovery: float | None = None  # None: nothing was left to do


@dataclass
class Campaign:
    """Faults so far, and the searches in which they were."""

    random: random.Random
    cluster: Cluster
    server: MlflowServer
    proxy: FaultyProxy
    faults: list[Fault] = field(default_factory=list)
    num_searches: int = 0  # that were looked at
    lost: int = 0
    twice: int = 0
    damaged: int = 0

    def run(self, home: Path, num_faults: int) -> None:
        """Inject so many faults, or as many as there are until Ctrl-C."""
        self.node = _new_node(self.cluster)
        try:
            while len(self.faults) < num_faults:
                self.run_search(home / f"{self.num_searches}", self.num_searches, num_faults)
                self.num_searches += 1
        except KeyboardInterrupt:
            print("ended early: the last search was not looked at")

    def run_search(self, home: Path, number: int, last_fault: int) -> None:
        """Run a search to its end, with faults until there are ``last_fault`` of them."""
        home.mkdir()
        with small_disk(home / "disk", _DISK_MEGABYTES) as disk:
            search = self._make_search(home, disk / "out", number)
            known: Known = {}
            search.start()
            while len(self.faults) < last_fault:
                moment = search.count("reported") + self.random.randint(1, 12)
                kind = self.random.choice(KINDS)
                search.wait_for("reported", moment, _PATIENCE)
                time.sleep(self.random.uniform(0, 0.5))
                if _has_ended(search):
                    break
                known |= _known(search)
                fault = Fault(kind, search.count("reported"))
                self._inject(search, fault)
                self.faults.append(fault)
                print(f"{len(self.faults)}: search {number}, {kind}: {fault.recovery}", flush=True)
            code, stdout, stderr = search.finish(_PATIENCE)
            assert code == 0, stdout + stderr
            self._deliver(search)
            self._check(search)
            self._compare(search, known)
            print(f"search {number}: {self.totals()} so far", flush=True)

    def totals(self) -> str:
        """Return in words what was not as it must be."""
        return f"lost: {self.lost}; done twice: {self.twice}; damaged: {self.damaged}"

    def _make_search(self, home: Path, out: Path, seed: int) -> SearchProcess:
        options = ("--address", str(self.cluster.address), "--seed", str(seed))
        search = SearchProcess(home, *options, "--max-failures", "20", out=out)
        search.tracking_uri = self.proxy.uri
        search.folder = out / f"s{seed}"  # the searches share a server
        text = search.search_file.read_text(encoding="utf-8")
        text = text.replace("trials: 10", "trials: 60").replace(", max_concurrent: 1", "")
        text = text.replace("num_draws: 2", "num_draws: 40")  # epochs of a part of a second
        search.search_file.write_text(text, encoding="utf-8")
        return search

    def _inject(self, search: SearchProcess, fault: Fault) -> None:
        start = time.monotonic()
        num_delivered = _num_delivered(self.server)
        if fault.kind.startswith("MLflow"):
            self._disturb_mlflow(fault.kind)
            wait_until(
                lambda: _num_delivered(self.server) != num_delivered or _has_ended(search),
                "delivery",
                _PATIENCE,
            )
            is_going_on = _num_delivered(self.server) != num_delivered
        else:
            self._disturb_search(search, fault.kind)
            search.wait_for("reported", fault.num_reports + 1, _PATIENCE)
            is_going_on = search.count("reported") > fault.num_reports
        if is_going_on:
            fault.recovery = time.monotonic() - start

    def _disturb_mlflow(self, kind: str) -> None:
        if kind in _ANSWERS:
            self.proxy.faults, self.proxy.share = _ANSWERS[kind], 0.5
            time.sleep(self.random.uniform(2, 8))
            self.proxy.faults = ()
        elif kind == "MLflow frozen for seconds":
            self.server.freeze()
            time.sleep(self.random.uniform(2, 8))
            self.server.thaw()
        else:
            self.server.kill()
            time.sleep(self.random.uniform(0, 3))
            if kind.endswith("empty store"):
                for path in self.server.folder.glob("mlflow.db*"):
                    path.unlink()
            self.server.start()

    def _disturb_search(self, search: SearchProcess, kind: str) -> None:
        if kind == "worker killed":
            pids = [pid for raylet in self._raylets() for pid in worker_pids(raylet)]
            if pids:
                kill_process(self.random.choice(pids))
        elif kind == "node killed":
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = _new_node(self.cluster)
        elif kind == "second driver":
            options = ("--resume", search.folder.name, "--out", search.out)
            second = run_tunebox("search", *options, cwd=search.home, timeout=_PATIENCE)
            is_refused = second.returncode == 2 and "is in use by process" in second.stderr
            assert is_refused or _has_ended(search), second.stdout + second.stderr
        else:
            self._end_driver(search, kind)
            search.start()

    def _end_driver(self, search: SearchProcess, kind: str) -> None:
        assert search.process is not None
        if kind == "Ctrl-C":
            search.process.send_signal(signal.SIGINT)
            search.finish(_PATIENCE)
        elif kind == "disk full":
            filler = fill(search.out.parent)
            search.finish(_PATIENCE)
            filler.unlink()
        else:
            search.kill()
        if kind.endswith("journal damaged"):
            with (search.folder / "journal.jsonl").open("ab") as journal:
                journal.write(self.random.choice([b'{"event": "rep', b'{"event": "danced"}\n']))
        if kind.endswith("checkpoints damaged"):
            newest = {path.parent: path for path in search.spare_checkpoints()}
            for path in newest.values():
                path.write_bytes(path.read_bytes()[:-100])
        if kind.endswith("bit flipped"):
            self._flip_bit(search, search.folder / self.random.choice(_FLIPPED))

    def _flip_bit(self, search: SearchProcess, path: Path) -> None:
        """Flip a bit in a file, but not in its last line: another fault is that of the journal."""
        content = path.read_bytes()
        end = len(content) if path.suffix == ".parquet" else content[:-1].rindex(b"\n")
        flipped = bytearray(content)
        flipped[self.random.randrange(end)] ^= 1 << self.random.randrange(8)
        path.write_bytes(flipped)
        if path.name in _REFUSED:
            options = ("--resume", search.folder.name, "--out", search.out)
            resumed = run_tunebox("search", *options, cwd=search.home, timeout=_PATIENCE)
            assert resumed.returncode == 2, resumed.stdout + resumed.stderr
            assert path.name in resumed.stderr, resumed.stderr
            path.write_bytes(content)

    def _deliver(self, search: SearchProcess) -> None:
        """Deliver what the search could not, where MLflow was away at its end."""
        self.server.wait(_PATIENCE)
        options = (search.folder.name, "--out", search.out)
        synced = run_tunebox("sync", *options, cwd=search.home, timeout=_PATIENCE)
        assert synced.returncode == 0, synced.stdout + synced.stderr

    def _raylets(self) -> list[int]:
        nodes = (self.cluster.head_node, self.node)
        return [int(node.all_processes["raylet"][0].process.pid) for node in nodes]

    def _check(self, search: SearchProcess) -> None:
        try:
            check_records(search.folder, self.server.uri)
            check_weights(search.folder)
        except AssertionError as error:
            self.damaged += 1
            print(f"{search.folder.name} is damaged: {error}", flush=True)

    def _compare(self, search: SearchProcess, known: Known) -> None:
        history = pq.read_table(search.folder / "history.parquet").to_pylist()
        trials = pq.read_table(search.folder / "trials.parquet").to_pylist()
        in_tables: Counter[Report | str] = Counter(
            [(row["trial_id"], row["epoch"]) for row in history]
        )
        in_tables.update(row["trial_id"] for row in trials)
        for where in (in_tables, _in_mlflow(search, self.server.uri)):
            self.lost += sum(where[item] == 0 for item in known)
            self.twice += sum(count > 1 for count in where.values())
        journal = read_journal(search.folder / "journal.jsonl").events
        reported = Counter(
            (event.trial_id, event.report.epoch) for event in journal if isinstance(event, Reported)
        )
        self.twice += sum(count > 1 for count in reported.values())
        for row in history:
            metrics = known.get((row["trial_id"], row["epoch"]), {})
            found = np.array([row[name] for name in metrics], dtype=float)
            self.damaged += not np.array_equal(found, list(metrics.values()), equal_nan=True)


def _new_node(cluster: Cluster, **more: Any) -> Any:
    for _ in range(_TRIES):
        try:
            return cluster.add_node(**_ROOM, **more)
        except Exception as error:  # Ray has none of its own for a start that takes too long
            print(f"once more: {error}", flush=True)
    raise TimeoutError(f"no node of Ray came up in {_TRIES} tries")


def _has_ended(search: SearchProcess) -> bool:
    return search.process is not None and search.process.poll() is not None


def _num_delivered(server: MlflowServer) -> int:
    """Return how many values the database of a server has, which may answer or not."""
    with closing(sqlite3.connect(server.folder / "mlflow.db", timeout=60)) as store:
        return sum(store.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _TABLES)


def _known(search: SearchProcess) -> Known:
    """Return the reports and the ended trials in the journal: what must not get lost."""
    found: Known = {}
    for event in read_journal(search.folder / "journal.jsonl").events:
        if isinstance(event, Reported):
            found[event.trial_id, event.report.epoch] = dict(event.report.metrics)
        elif isinstance(event, Ended):
            found[event.trial_id] = {}
    return found


def _in_mlflow(search: SearchProcess, tracking_uri: str) -> Counter[Report | str]:
    client = MlflowClient(tracking_uri=tracking_uri)
    found: Counter[Report | str] = Counter()
    for run in child_runs(search.folder, tracking_uri):
        trial_id = run.data.tags["tunebox.trial_id"]
        found[trial_id] += 1
        for metric in client.get_metric_history(run.info.run_id, "clean_accuracy"):
            found[(trial_id, metric.step)] += 1
    return found


def _table(campaign: Campaign) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("fault", "injected", "recovered", "median s to recover", "longest"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for kind in KINDS:
        faults = [fault for fault in campaign.faults if fault.kind == kind]
        times = [fault.recovery for fault in faults if fault.recovery is not None]
        median = f"{statistics.median(times):.1f}" if times else "-"
        longest = f"{max(times):.1f}" if times else "-"
        table.add_row(kind, str(len(faults)), str(len(times)), median, longest)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # of the searches, which take it from here
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = _TIMEOUT
    with tempfile.TemporaryDirectory(prefix="faults-") as home, _places(Path(home)) as places:
        campaign = Campaign(random.Random(arguments.seed), *places)
        try:
            campaign.run(Path(home), arguments.faults)
        finally:  # whatever went wrong: what was found up to there
            Console().print(_table(campaign))
            num_faults, num_searches = len(campaign.faults), campaign.num_searches
            print(f"{num_faults} faults in {num_searches} searches; {campaign.totals()}")


@contextmanager
def _places(home: Path) -> Iterator[tuple[Cluster, MlflowServer, FaultyProxy]]:
    """Give a cluster with one node, and an MLflow server with a proxy before it."""
    cluster, server = Cluster(), MlflowServer(home)
    proxy = FaultyProxy(server.port)
    try:
        _new_node(cluster, include_dashboard=False)  # the first is the head
        server.start()
        server.wait(_PATIENCE)
        yield cluster, server, proxy
    finally:
        proxy.close()
        server.kill()
        cluster.shutdown()


if __name__ == "__main__":
    main()

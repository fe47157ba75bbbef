"""Random faults in a row on real searches: what was injected, lost, done twice, and the recovery.

    python -m benchmarks.fault_campaign --faults 50 --seed 0

Searches run one after the other on a Ray cluster of two nodes on this machine until so many faults
were injected, with MLflow by turns on a server and in an SQLite file, and by turns with and without
failures of trials allowed. Kinds and moments come from the seed; each kind comes as often as the
searches allow. A fault that ends the driver is followed by ``tunebox search --resume``.

After each fault the journal is compared with what it had before; after each search its tables and
its MLflow runs are, too, and front, weights and runs are checked against what they must be. Counted
is what is *lost*, what is there *twice*, what is *damaged* (a value that is another), and how often
something was *wrong in silence*: something lost, twice or damaged without a line about it, a
traceback, a damaged file that is believed, another user who gets in. To recover means: the journal
has an epoch that is new; after a fault of MLflow: MLflow has taken something again. Ctrl-C, or a
SIGTERM, ends it early, without a look at the last search.

Needs to be allowed to mount a small file system, and root to play another user.
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
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from mlflow.tracking import MlflowClient
from rich.console import Console
from rich.table import Table

from benchmarks import shifted_clock
from benchmarks.fault_kinds import KINDS, PATIENCE, Kind, Nodes, Scene, wait_for_delivery
from tests.command_line import run_tunebox
from tests.faults.check_records import check_records, check_weights, child_runs
from tests.faults.faulty_proxy import FaultyProxy
from tests.faults.mlflow_server import MlflowServer
from tests.faults.search_process import SearchProcess
from tests.faults.small_disk import small_disk
from tunebox.decisions.events import Ended, Reported
from tunebox.records.journal import read_journal

_ROOT = Path(__file__).parents[1]
_TIMEOUT = "2"  # seconds for which an answer is waited for; a late one comes after more
_DISK_MEGABYTES = 96
_TABLES = ("runs", "params", "tags", "metrics")  # of MLflow, in which each delivery adds rows
_AT_THE_END = "tables, MLflow and weights of each search"

Report = tuple[str, int]  # trial, epoch
Known = dict[Report | str, dict[str, float]]  # the metrics of reports; ended trials have none


@dataclass
class Found:
    """What was wrong after a fault, or after a search."""

    lost: int = 0
    twice: int = 0
    damaged: int = 0
    silent: int = 0
    recovery: float | None = None  # seconds; None: nothing was left to do

    def note_silence(self, what: object) -> None:
        self.silent += 1
        print(f"   WRONG IN SILENCE: {what}", flush=True)


@dataclass
class Campaign:
    """Faults so far, and the searches in which they were."""

    random: random.Random
    nodes: Nodes
    server: MlflowServer
    proxy: FaultyProxy
    found: dict[str, list[Found]] = field(default_factory=dict)
    num_searches: int = 0  # that were looked at

    @property
    def num_faults(self) -> int:
        return sum(len(self.found.get(kind.name, ())) for kind in KINDS)

    def run(self, home: Path, num_faults: int, minutes: float) -> None:
        """Inject so many faults, or as many as there are until Ctrl-C or the end of the time."""
        end = time.monotonic() + 60 * minutes
        number = 0
        try:
            while self.num_faults < num_faults and time.monotonic() < end:
                try:
                    self.run_search(home / f"{number}", number, num_faults, end)
                except (AssertionError, TimeoutError) as error:
                    self._last(_AT_THE_END).note_silence(f"search {number}: {error}")
                number += 1
        except KeyboardInterrupt:
            print("ended early: the last search was not looked at")

    def run_search(self, home: Path, number: int, last_fault: int, end: float) -> None:
        """Run a search to its end, with faults until there are ``last_fault`` of them."""
        home.mkdir()
        store, has_failures = ("server", "file")[number % 2], number % 4 < 2
        kinds = [kind for kind in KINDS if kind.fits(store=store, has_failures=has_failures)]
        with small_disk(home / "disk", _DISK_MEGABYTES) as disk:
            search = self._make_search(home, disk / "out", number, store, 20 if has_failures else 0)
            scene = Scene(search, self.random, self.nodes, self.server, self.proxy)
            known: Known = {}
            search.start()
            try:
                with scene.open:
                    while self.num_faults < last_fault and time.monotonic() < end:
                        moment = search.count("reported") + self.random.randint(1, 10)
                        search.wait_for("reported", moment, PATIENCE)
                        time.sleep(self.random.uniform(0, 0.5))
                        if scene.has_ended:
                            break
                        known |= _known(search)
                        self._inject(scene, self._draw(kinds), known)
                    self._finish(scene, known)
            finally:
                if not scene.has_ended:
                    search.kill()
            self.num_searches += 1
            print(f"search {number}: {self.totals()} so far", flush=True)

    def totals(self) -> str:
        """Return in words what was not as it must be."""
        every = [one for found in self.found.values() for one in found]
        return (
            f"lost: {sum(one.lost for one in every)}; "
            f"done twice: {sum(one.twice for one in every)}; "
            f"damaged: {sum(one.damaged for one in every)}; "
            f"wrong in silence: {sum(one.silent for one in every)}"
        )

    def _draw(self, kinds: list[Kind]) -> Kind:
        """Return one of those that came least often."""
        fewest = min(len(self.found.get(kind.name, ())) for kind in kinds)
        return self.random.choice([k for k in kinds if len(self.found.get(k.name, ())) == fewest])

    def _last(self, name: str) -> Found:
        self.found.setdefault(name, []).append(Found())
        return self.found[name][-1]

    def _make_search(
        self, home: Path, out: Path, seed: int, store: str, max_failures: int
    ) -> SearchProcess:
        options = ("--address", self.nodes.address, "--seed", str(seed))
        search = SearchProcess(home, *options, "--max-failures", str(max_failures), out=out)
        if store == "server":
            search.tracking_uri = self.proxy.uri
        search.folder = out / f"s{seed}"  # the searches share a server
        search.module = "benchmarks.shifted_clock"
        given = os.environ.get("PYTHONPATH")
        paths = {"PYTHONPATH": os.pathsep.join([str(_ROOT), *([given] if given else [])])}
        search.variables = {shifted_clock.VARIABLE: str(home / "clock"), **paths}
        text = search.search_file.read_text(encoding="utf-8")
        text = text.replace("trials: 10", "trials: 100").replace(", max_concurrent: 1", "")
        search.search_file.write_text(text, encoding="utf-8")
        return search

    def _inject(self, scene: Scene, kind: Kind, known: Known) -> None:
        found = self._last(kind.name)
        scene.number = self.num_faults
        before = _num_delivered(scene.database) if kind.is_about_mlflow else 0
        reports, start = scene.search.count("reported"), time.monotonic()
        print(f"{scene.number}: {scene.name}, {kind.name}", flush=True)
        try:
            kind.inject(scene)
            if kind.is_about_mlflow:
                # a file that is made anew has fewer rows at first
                has_new = wait_for_delivery(lambda: _num_delivered(scene.database), before, scene)
            else:
                scene.search.wait_for("reported", reports + 1, PATIENCE)
                has_new = scene.search.count("reported") > reports
            if has_new:
                found.recovery = time.monotonic() - start
        except AssertionError as error:
            found.note_silence(error)
            if scene.has_ended:
                scene.search.start()
        print(f"   {found.recovery}", flush=True)
        _compare_journal(scene.search, known, found)

    def _finish(self, scene: Scene, known: Known) -> None:
        """Wait for the end of a search, and look at all that it leaves."""
        found = self._last(_AT_THE_END)
        code, stdout, stderr = scene.search.finish(PATIENCE)
        if code != 0 or "Traceback" in stdout + stderr:
            found.note_silence(f"{scene.name} ended with {code}: {stdout[-3000:]}{stderr[-3000:]}")
            code, stdout, stderr = self._go_on(scene)
        self._deliver(scene)
        uri = scene.search.tracking_uri.replace(self.proxy.uri, self.server.uri)
        try:
            check_records(scene.search.folder, uri)
            check_weights(scene.search.folder)
            _check_no_failures(scene)
        except AssertionError as error:
            found.damaged += 1
            print(f"{scene.name} is damaged: {error}", flush=True)
        _compare_journal(scene.search, known, found)
        _compare_records(scene.search, known, uri, found)
        found.silent += bool(found.lost or found.twice or found.damaged)

    def _go_on(self, scene: Scene) -> tuple[int, str, str]:
        scene.search.start()
        code, stdout, stderr = scene.search.finish(PATIENCE)
        assert code == 0, f"ended with {code} again: {stdout[-2000:]}{stderr[-2000:]}"
        return code, stdout, stderr

    def _deliver(self, scene: Scene) -> None:
        """Deliver what the search could not, where MLflow was away at its end."""
        self.server.wait(PATIENCE)
        options = (scene.name, "--out", scene.search.out)
        synced = run_tunebox("sync", *options, cwd=scene.search.home, timeout=PATIENCE)
        assert synced.returncode == 0, synced.stdout + synced.stderr


def _num_delivered(database: Path) -> int | None:
    """Return how many values MLflow's database has; None while there is none."""
    uri = f"file:{urllib.parse.quote(str(database))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, timeout=60, uri=True)) as store:
            counts = [store.execute(f"SELECT count(*) FROM {name}") for name in _TABLES]
            return sum(count.fetchone()[0] for count in counts) or None
    except sqlite3.Error:
        return None


def _known(search: SearchProcess) -> Known:
    """Return the reports and the ended trials in the journal: what must not get lost."""
    found: Known = {}
    for event in read_journal(search.folder / "journal.jsonl").events:
        if isinstance(event, Reported):
            found[event.trial_id, event.report.epoch] = dict(event.report.metrics)
        elif isinstance(event, Ended):
            found[event.trial_id] = {}
    return found


def _check_no_failures(scene: Scene) -> None:
    """What was injected is never a reason to give a trial up."""
    trials = pq.read_table(scene.search.folder / "trials.parquet").to_pylist()
    failed = {row["trial_id"]: row["reason"] for row in trials if row["state"] == "failed"}
    assert not failed, f"failed: {failed}"


def _compare_journal(search: SearchProcess, known: Known, found: Found) -> None:
    with suppress(FileNotFoundError):  # the first fault came before the first event
        now = _known(search)
        events = read_journal(search.folder / "journal.jsonl").events
        reported = Counter((e.trial_id, e.report.epoch) for e in events if isinstance(e, Reported))
        found.lost += len(known.keys() - now.keys())
        found.twice += sum(count > 1 for count in reported.values())
        found.damaged += sum(
            not _are_same(metrics, now[item]) for item, metrics in known.items() if item in now
        )
        found.silent += bool(found.lost or found.twice or found.damaged)


def _compare_records(search: SearchProcess, known: Known, uri: str, found: Found) -> None:
    """Compare the tables and MLflow with what the journal once had."""
    history = pq.read_table(search.folder / "history.parquet").to_pylist()
    trials = pq.read_table(search.folder / "trials.parquet").to_pylist()
    in_tables: Counter[Report | str] = Counter([(row["trial_id"], row["epoch"]) for row in history])
    in_tables.update(row["trial_id"] for row in trials)
    for where in (in_tables, _in_mlflow(search, uri)):
        found.lost += sum(where[item] == 0 for item in known)
        found.twice += sum(count > 1 for count in where.values())
    for row in history:
        metrics = known.get((row["trial_id"], row["epoch"]), {})
        found.damaged += not _are_same(metrics, {name: row[name] for name in metrics})


def _are_same(expected: dict[str, float], found: dict[str, float]) -> bool:
    values = [found.get(name, None) for name in expected]
    return np.array_equal(
        np.array(values, dtype=float), np.array([*expected.values()], dtype=float), equal_nan=True
    )


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
    headings = ("lost", "twice", "damaged", "wrong in silence")
    for heading in ("fault", "times", *headings, "recovered", "median s", "longest s"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for name in (*(kind.name for kind in KINDS), _AT_THE_END):
        found = campaign.found.get(name, [])
        times = [one.recovery for one in found if one.recovery is not None]
        sums = [sum(values) for values in zip(*map(_numbers, found), strict=True)] or [0] * 4
        last = [f"{statistics.median(times):.1f}", f"{max(times):.1f}"] if times else ["-", "-"]
        table.add_row(name, *map(str, (len(found), *sums, len(times))), *last)
    return table


def _numbers(found: Found) -> tuple[int, int, int, int]:
    return found.lost, found.twice, found.damaged, found.silent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no fault after them")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell lets what it starts with & ignore one
        signal.signal(number, signal.default_int_handler)
    # of the searches, which take it from here
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = _TIMEOUT
    with tempfile.TemporaryDirectory(prefix="faults-") as home, _places(Path(home)) as places:
        Path(home).chmod(0o755)  # another user may come as far as to the searches
        campaign = Campaign(random.Random(arguments.seed), *places)
        try:
            campaign.run(Path(home), arguments.faults, arguments.minutes)
        finally:  # whatever went wrong: what was found up to there
            Console(width=140).print(_table(campaign))
            num_faults, num_searches = campaign.num_faults, campaign.num_searches
            print(f"{num_faults} faults in {num_searches} searches; {campaign.totals()}")


@contextmanager
def _places(home: Path) -> Iterator[tuple[Nodes, MlflowServer, FaultyProxy]]:
    """Give a cluster, and an MLflow server with a proxy before it."""
    server = MlflowServer(home)
    proxy = FaultyProxy(server.port)
    nodes = Nodes()
    try:
        server.start()
        server.wait(PATIENCE)
        yield nodes, server, proxy
    finally:
        proxy.close()
        server.kill()
        nodes.cluster.shutdown()


if __name__ == "__main__":
    main()

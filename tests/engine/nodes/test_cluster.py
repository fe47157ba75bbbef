"""Where a search runs: on a cluster that is joined and left running, or on none at all."""

import os
import platform
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray

import tunebox
from tests.command_line import SEARCH_FILE, run_tunebox, succeed
from tests.ray_cluster import RayCluster
from tunebox.decisions.decisions import Decisions
from tunebox.decisions.method import Verdict
from tunebox.engine.nodes.cluster import WORKER_MALLOC
from tunebox.spec.space import Values
from tunebox.verbs.results import SearchResult

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "methods.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    return tmp_path


def outcome(result: SearchResult) -> list[tuple[Values, str, list[tuple[float, float]]]]:
    return [
        (
            trial.settings,
            trial.state.value,
            [(r.metrics["clean_accuracy"], r.metrics["noisy_loss"]) for r in trial.history],
        )
        for trial in result.log.trials.values()
    ]


def test_what_ray_start_made_is_joined_and_left_running(
    home: Path, ray_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", ray_cluster.folder)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    printed = succeed("search", "methods.yaml", "--trials", "1", "--max-epochs", "2", cwd=home)
    pattern = r"methods-1: joined the Ray cluster at [\d.]+:(\d+) \(2 CPUs, \d+ GPUs\)\n"
    found = re.match(pattern, printed)
    assert found is not None, printed
    port = ray_cluster.address.split(":")[1]
    assert found[1] == port
    socket.create_connection(("127.0.0.1", int(port)), 5).close()


TWO_CLUSTERS = """
import sys, ray, psutil  # Ray brings it
from tunebox.engine.nodes.cluster import connect

def listens():
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            connections = process.net_connections("inet")
        except psutil.NoSuchProcess:  # Ray's helpers come and go
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN:
                yield connection.laddr.ip

for address in ("local", sys.argv[1]):
    with connect(address) as line:
        ray.get(ray.remote(lambda: None).remote())  # so that a worker is there
        print(line, sorted(set(listens())), sep="; ")
"""


def test_a_started_ray_listens_on_this_machine_only(ray_address: str) -> None:
    """And one that runs can be joined afterwards."""
    command = [sys.executable, "-c", TWO_CLUSTERS, ray_address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    started, joined = done.stdout.splitlines()
    assert started.startswith("started Ray on this machine")
    addresses = set(re.findall(r"'(\S+)'", started))
    assert addresses
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    port = ray_address.split(":")[1]
    assert re.match(rf"joined the Ray cluster at [\d.]+:{port} ", joined), joined


def test_a_password_that_a_cluster_would_show_is_refused(home: Path, ray_address: str) -> None:
    uri = "http://me:open-sesame@127.0.0.1:1"
    options = ("--address", ray_address, f"--tracking-uri={uri}")
    done = run_tunebox("search", "methods.yaml", *options, cwd=home)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the Ray cluster would show the command line")
    assert "MLFLOW_TRACKING_URI" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "open-sesame" not in done.stderr
    assert [path.name for path in home.iterdir()] == ["methods.yaml"]


@pytest.mark.usefixtures("joined")
def test_one_worker_and_the_same_seed_give_the_same_search(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[str, int]] = []
    report = Decisions.report

    def note(self: Decisions, trial_id: str, epoch: int, metrics: dict[str, float]) -> Verdict:
        judged.append((trial_id, epoch))
        return report(self, trial_id, epoch, metrics)

    monkeypatch.setattr(Decisions, "report", note)
    first, second = (
        tunebox.search(
            str(home / "methods.yaml"),
            trials=5,
            max_epochs=4,
            max_concurrent=1,
            name=name,
            out=str(home / "results"),
        )
        for name in ("first", "second")
    )
    assert len(outcome(first)) == 5
    assert outcome(first) == outcome(second)
    # the decisions are told of every epoch, the last of a full training included
    reported = [(t.trial_id, r.epoch) for t in first.log.trials.values() for r in t.history]
    assert judged == 2 * reported
    assert 4 in {epoch for _, epoch in reported}
    front = tunebox.front("first", str(home / "results"))
    assert front["trial_id"].to_pylist() == [trial.trial_id for trial in first.log.front()]
    assert first.warnings == []
    assert ray.is_initialized()


def test_an_address_where_nothing_listens_is_one_line(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        start = time.monotonic()
        done = run_tunebox("search", "methods.yaml", "--address", address, cwd=home)
    assert time.monotonic() - start < 60
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: no Ray cluster answers at '{address}'")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["methods.yaml"]


def test_more_gpus_than_there_are_is_one_line(home: Path, ray_address: str) -> None:
    options = ("--cpus-per-trial", "6400", "--address", ray_address)
    done = run_tunebox("search", "methods.yaml", *options, cwd=home)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --cpus-per-trial 6400: the largest node of the cluster")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["methods.yaml"]


ALLOCATING = """
import sys
import numpy as np

size = int(sys.argv[1]) * 2**20

def own():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

before, small = own(), []
for _ in range(3):
    large = []
    for _ in range(12):
        large.append(np.ones(size, np.uint8))
        small.append(np.ones(2**16, np.uint8))  # lies between two large ones
    del large
print(own() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("mib", "stays"), [(8, True), (96, False)])
def test_a_worker_keeps_freed_blocks_but_not_the_largest(mib: int, stays: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATING, str(mib)],
        env={**os.environ, **WORKER_MALLOC},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(done.stdout) > 6 * mib * 2**20) == stays  # half of the blocks

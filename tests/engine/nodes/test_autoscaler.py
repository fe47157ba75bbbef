"""Nodes come from none by what a search needs, and go when it has ended."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]

from tests.command_line import SEARCH_FILE, run_tunebox, start_tunebox
from tests.engine.nodes.autoscaling_cluster import autoscaling_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with autoscaling_cluster(workers=2) as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = re.sub("num_draws: 2", "num_draws: 60", SEARCH_FILE)
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def num_workers(address: str) -> int:
    state = GlobalState()
    options = GcsClientOptions.create(address, None, True, False)
    state._initialize_global_state(options)
    try:
        alive = [node for node in state.node_table() if node["Alive"]]
    finally:
        state.disconnect()
    return len(alive) - 1


def wait_until(is_so: Callable[[], bool], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_nodes_come_for_a_search_and_go_after_it(folder: Path, address: str) -> None:
    assert num_workers(address) == 0
    command = ("search", "s.yaml", "--address", address, "--name", "s", "--trials", "6")
    with start_tunebox(*command, cwd=folder) as process:
        wait_until(lambda: num_workers(address) == 2 or process.poll() is not None)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stdout + stderr
    assert "no node has room for a trial yet: trials wait for the autoscaler" in stdout
    states = pq.read_table(folder / "results" / "s" / "trials.parquet")["state"].to_pylist()
    assert len(states) == 6
    assert set(states) <= {"finished", "stopped"}
    wait_until(lambda: num_workers(address) == 0)


def test_nodes_go_when_a_search_is_killed(folder: Path, address: str) -> None:
    command = ("search", "s.yaml", "--address", address, "--name", "k", "--trials", "500")
    with start_tunebox(*command, cwd=folder) as process:
        wait_until(lambda: num_workers(address) == 2)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: num_workers(address) == 0, 240)


def test_what_no_node_type_has_is_refused(folder: Path, address: str) -> None:
    done = run_tunebox(
        "search", "s.yaml", "--address", address, "--cpus-per-trial", "2", cwd=folder, timeout=300
    )
    assert done.returncode == 2
    assert "--cpus-per-trial 2: the largest node of the cluster has 1 CPUs" in done.stderr

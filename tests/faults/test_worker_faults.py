"""A trial's worker process dies, then a whole node: the trial goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray.cluster_utils import Cluster

from tests.faults.check_records import check_records
from tests.faults.search_process import SearchProcess, kill_process, wait_until, worker_pids

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Nodes:
    """Two nodes of one cluster on this machine, each with room for one trial."""

    cluster: Cluster
    second: object

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def workers(self) -> dict[str, list[int]]:
        nodes = {"head": self.cluster.head_node, "second": self.second}
        return {name: worker_pids(_raylet(node)) for name, node in nodes.items()}


def _raylet(node: object) -> int:
    return int(node.all_processes["raylet"][0].process.pid)  # type: ignore[attr-defined]


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    room = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=room)
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
        yield Nodes(cluster, second)
    finally:
        cluster.shutdown()


def test_a_worker_and_then_a_node_die(tmp_path: Path, nodes: Nodes) -> None:
    search = SearchProcess(tmp_path, "--address", nodes.address)
    text = search.search_file.read_text(encoding="utf-8")
    text = text.replace("num_draws: 2", "num_draws: 150").replace("max_concurrent: 1", "name: s")
    search.search_file.write_text(text, encoding="utf-8")
    search.start()
    search.wait_for("reported", 5)
    [victim, *_] = nodes.workers()["head"]
    kill_process(victim)
    search.wait_for("reported", 14)
    wait_until(lambda: bool(nodes.workers()["second"]), "trial on the second node", 60)
    nodes.cluster.remove_node(nodes.second, allow_graceful=False)
    code, stdout, stderr = search.finish(240)
    assert (code, stderr) == (0, ""), stdout
    lost = [line for line in stdout.splitlines() if "starts again: its worker process died" in line]
    assert 1 <= len(lost) <= 3
    rows = pq.read_table(search.folder / "trials.parquet").to_pylist()
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(10)]
    assert {row["state"] for row in rows} == {"finished", "stopped"}
    check_records(search.folder, search.tracking_uri)

"""A trial's worker process dies, then a whole node: the trial goes on elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.faults.check_records import check_records, check_weights
from tests.faults.search_process import (
    SearchProcess,
    kill_process,
    outcome,
    wait_until,
    worker_pids,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Nodes:
    """A cluster on this machine: a head for the driver, two nodes with room for one trial each."""

    cluster: Cluster
    nodes: tuple[object, object]

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def find_workers(self) -> tuple[object, list[int]]:
        """Wait for processes that train, and return them with their node."""
        found: list[tuple[object, list[int]]] = []

        def look() -> bool:
            found[:] = [(node, worker_pids(_raylet(node))) for node in self.nodes]
            return any(pids for _, pids in found)

        wait_until(look, "worker")
        return next((node, pids) for node, pids in found if pids)


def _raylet(node: object) -> int:
    return int(node.all_processes["raylet"][0].process.pid)  # type: ignore[attr-defined]


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    memory = {"object_store_memory": 80_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, **memory}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        first, second = (cluster.add_node(num_cpus=1, **memory) for _ in range(2))
        yield Nodes(cluster, (first, second))
    finally:
        cluster.shutdown()


def test_workers_and_then_a_node_die_at_random_moments(
    tmp_path: Path, nodes: Nodes, undisturbed: SearchProcess
) -> None:
    search = SearchProcess(tmp_path, "--address", nodes.address, "--max-failures", "5")
    num_reports = undisturbed.count("reported")
    moments = sorted(random.Random(4).sample(range(1, num_reports - 5), 3))
    search.start()
    for moment in moments[:2]:
        search.wait_for("reported", moment)
        for pid in nodes.find_workers()[1]:
            kill_process(pid)
    search.wait_for("reported", moments[2])
    nodes.cluster.remove_node(nodes.find_workers()[0], allow_graceful=False)
    code, stdout, stderr = search.finish(240)
    assert (code, stderr) == (0, ""), stdout
    # each is told when it happens and at the end
    lost = {line for line in stdout.splitlines() if "starts again: its worker process died" in line}
    assert 2 <= len(lost) <= 3  # a worker may have been between two trials
    assert outcome(search.folder) == outcome(undisturbed.folder)
    check_records(search.folder, search.tracking_uri)
    check_weights(search.folder)

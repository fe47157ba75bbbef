"""Several nodes of one Ray cluster on this machine, each with a home folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from PIL import Image
from ray.cluster_utils import Cluster

_STORE = 80_000_000

SEARCH_FILE = """\
# Small images from a folder in the home folder
data: {kind: image_folder, root: ~/images, image_size: 8, channels: 1}
model: {kind: mlp, width: {choice: [8, 16]}, depth: 1, feature_dim: 4}
losses: {cross_entropy: {on: clean}}
optimizer: {kind: sgd, lr: {log_uniform: [0.02, 0.2]}}
evaluation: {noise: {kind: gaussian, std: 0.3}}
search: {trials: 4, min_epochs: 2, max_epochs: 2, max_failures: 0, name: s}
"""


class NodeCluster:
    """A cluster whose head has one CPU; nodes are added by the names of their home folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hidden: list[subprocess.Popen[bytes]] = []
        self._nodes: dict[str, Any] = {}
        self._ray = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "object_store_memory": _STORE,
                "include_dashboard": False,
                "env_vars": {"HOME": str(self.home("head"))},
            },
        )

    @property
    def address(self) -> str:
        return str(self._ray.address)

    def home(self, name: str) -> Path:
        path = self.folder / f"home-{name}"
        path.mkdir(exist_ok=True)
        return path

    def add(self, name: str, num_cpus: int = 1, **options: object) -> str:
        """Add a node with the home folder ``name`` and return its id."""
        node = self._ray.add_node(
            num_cpus=num_cpus,
            object_store_memory=_STORE,
            env_vars={"HOME": str(self.home(name))},
            **options,
        )
        self._nodes[node.node_id] = node
        return str(node.node_id)

    def kill(self, node_id: str) -> None:
        """Kill a node, as the end of its machine does."""
        self._ray.remove_node(self._nodes.pop(node_id), allow_graceful=False)

    def add_hidden_from(self, folder: Path) -> None:
        """Add a node that has an empty folder of its own where others see ``folder``."""
        start = (
            f"mount -t tmpfs none '{folder}' && exec '{sys.executable}' -m ray.scripts.scripts "
            f"start --address {self.address} --num-cpus 1 --object-store-memory {_STORE} "
            "--disable-usage-stats --block"
        )
        process = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", start],
            env={**os.environ, "HOME": str(self.home("head"))},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._hidden.append(process)
        self.wait_for_nodes(2)

    def wait_for_nodes(self, number: int) -> None:
        self._wait_until(lambda nodes: sum(node["Alive"] for node in nodes) >= number)

    def wait_until_dead(self, node_id: str) -> None:
        """Wait until Ray has noticed that a node was killed, which takes it some seconds."""
        self._wait_until(
            lambda nodes: not any(node["Alive"] for node in nodes if node["NodeID"] == node_id)
        )

    def _wait_until(self, is_so: Callable[[list[dict[str, Any]]], bool]) -> None:
        deadline = time.monotonic() + 60
        while not is_so(self._ray.global_state.node_table()):
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def shutdown(self) -> None:
        for process in self._hidden:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        self._ray.shutdown()


@contextmanager
def node_cluster(folder: Path) -> Iterator[NodeCluster]:
    cluster = NodeCluster(folder)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def needs_mounts() -> pytest.MarkDecorator:
    """Skip where this user may not give a process its own view of the file system."""
    command = ["unshare", "--map-root-user", "--mount", "true"]
    try:
        may = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        may = False
    return pytest.mark.skipif(not may, reason="needs unshare --map-root-user --mount")


def write_images(home: Path) -> None:
    """Put two classes of ten images into ``home``/images."""
    generator = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        folder = home / "images" / "train" / label
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(level - 50, level + 50, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")

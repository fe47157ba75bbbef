"""A cluster with an autoscaler that starts real nodes on this machine, and none at first."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FakeMultiNodeProvider,
)

from tests.command_line import free_port
from tests.ray_cluster import kill_session


class LocalNodes(FakeMultiNodeProvider):  # type: ignore[misc]
    """Starts and stops nodes on this machine for Ray's autoscaler."""


def _config(address: str, workers: int) -> dict[str, Any]:
    worker = {"CPU": 1, "object_store_memory": 80_000_000}
    return {
        "cluster_name": "tunebox-test",
        "max_workers": workers,
        "idle_timeout_minutes": 0.05,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "external",  # Ray's own name for it needs a file that its wheel lacks
            "module": f"{__name__}.LocalNodes",
            "disable_node_updaters": True,
            "gcs_address": address,
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": worker,
                "node_config": {},
                "min_workers": 0,
                "max_workers": workers,
            },
        },
        "head_node_type": "ray.head.default",
        # what Ray fills in for the providers that it knows
        **{f"{whose}setup_commands": [] for whose in ("", "head_", "worker_")},
        **{f"{whose}_start_ray_commands": [] for whose in ("head", "worker")},
        "initialization_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "auth": {},
    }


@contextmanager
def autoscaling_cluster(workers: int) -> Iterator[str]:
    """Give the address of a cluster of a head without CPUs and up to ``workers`` of one CPU."""
    host = ray.util.get_node_ip_address()
    address = f"{host}:{free_port()}"
    folder = tempfile.mkdtemp(prefix="ray")  # the names of sockets have room for little more
    config = Path(folder) / "cluster.json"
    config.write_text(json.dumps(_config(address, workers)), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--port", address.split(":")[1], "--node-ip-address", host, "--num-cpus", "0"),
        *("--include-dashboard", "false", "--object-store-memory", "100000000"),
        *("--autoscaling-config", str(config), "--disable-usage-stats"),
        # a raylet that is told the ports of its agent does not wait for them: 15 s at most
        *("--dashboard-agent-grpc-port", str(free_port())),
        *("--dashboard-agent-listen-port", str(free_port())),
        *("--metrics-export-port", str(free_port())),
        *("--runtime-env-agent-port", str(free_port())),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | {
        "RAY_TMPDIR": folder,
        "RAY_AUTH_MODE": "disabled",
        "RAY_FAKE_CLUSTER": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert any("Ray runtime started" in line for line in process.stdout)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        kill_session(process.pid)
        shutil.rmtree(folder, ignore_errors=True)

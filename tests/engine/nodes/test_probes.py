"""What the autoscaler of a head can launch, read from the process that Ray starts for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config

from tests.remote.laptop import shipped
from tunebox.engine.nodes.probes import launchable_node_types

PORT = "64321"  # nothing listens there: the process is looked at, not asked
UNKNOWN: list[dict[str, float]] = [{}]

StartMonitor = Callable[[dict[str, Any] | None], None]


@pytest.fixture
def start_monitor(tmp_path: Path) -> Iterator[StartMonitor]:
    """Start a process that looks like Ray's monitor, with a configuration or without one."""
    program = tmp_path / "monitor.py"
    program.write_text("print(flush=True); input()", encoding="utf-8")
    started: list[subprocess.Popen[bytes]] = []

    def start(config: dict[str, Any] | None) -> None:
        options = [f"--gcs-address=10.0.0.1:{PORT}"]
        if config is not None:
            path = tmp_path / "bootstrap.yaml"
            path.write_text(yaml.safe_dump(config), encoding="utf-8")
            options.append(f"--autoscaling-config={path}")
        process = subprocess.Popen(
            [sys.executable, str(program), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()

    yield start
    for process in started:
        process.communicate(b"\n")


def test_machines_that_one_has_are_what_they_are(start_monitor: StartMonitor) -> None:
    config = prepare_config(shipped("deploy/cluster.local.yaml"))
    [node_type] = config["available_node_types"].values()
    assert (node_type["resources"], node_type["max_workers"]) == ({}, 2)  # Ray knows no more
    start_monitor(config)
    assert launchable_node_types(PORT) == []


def test_machines_that_a_coordinator_lends_are_not_known(start_monitor: StartMonitor) -> None:
    config = shipped("deploy/cluster.local.yaml")
    config["provider"] = {"type": "local", "coordinator_address": "10.0.0.2:80"}
    start_monitor(prepare_config({**config, "max_workers": 3}))
    assert launchable_node_types(PORT) == UNKNOWN


def test_a_cloud_launches_its_workers_and_no_second_head(start_monitor: StartMonitor) -> None:
    config = prepare_config(shipped("cluster.yaml"))
    worker = {"CPU": 4, "GPU": 1, "accelerator_type:L4": 1}
    config["available_node_types"]["gpu_worker"]["resources"] = worker  # as Ray asks AWS for them
    start_monitor(config)
    assert launchable_node_types(PORT) == [worker]
    assert launchable_node_types("64322") == []  # of another cluster


def test_kuberay_has_an_autoscaler_where_the_head_has_no_monitor(
    start_monitor: StartMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert launchable_node_types(PORT) == []
    monkeypatch.setenv("RAY_USAGE_STATS_KUBERAY_IN_USE", "1")  # in every container of KubeRay
    assert launchable_node_types(PORT) == UNKNOWN
    start_monitor(None)
    assert launchable_node_types(PORT) == []

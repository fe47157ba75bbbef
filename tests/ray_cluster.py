"""A Ray cluster that a person started, for the tests that join one."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.command_line import free_port


@dataclass(frozen=True)
class RayCluster:
    """A cluster that ``ray start`` made; ``folder`` is its ``RAY_TMPDIR``."""

    address: str
    folder: str


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A Ray cluster of two CPUs that a person started, in a folder of its own."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="ray")  # the names of sockets have room for little more
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--port", str(port), "--node-ip-address", "127.0.0.1", "--num-cpus", "2"),
        *("--include-dashboard", "false", "--object-store-memory", "100000000"),
        "--disable-usage-stats",
    ]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    # with a token of other searches in the home folder, Ray would ask for it
    environment |= {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "Ray runtime started" in line:
                break
        yield RayCluster(f"127.0.0.1:{port}", folder)
    finally:
        process.send_signal(signal.SIGTERM)  # ray ends what it started
        process.communicate(timeout=60)
        kill_session(process.pid)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ray_address(ray_cluster: RayCluster) -> str:
    return ray_cluster.address


@pytest.fixture
def joined(ray_address: str) -> Iterator[None]:
    """This process as a driver on the cluster."""
    import ray  # here: the quick tests load this file, and not Ray

    ray.init(address=ray_address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def kill_session(leader: int) -> None:
    """Kill what is left of the processes that ``ray start`` made."""
    time.sleep(0.5)
    listed = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(leader)], capture_output=True, text=True, check=False
    )
    for pid in listed.stdout.split():
        os.kill(int(pid), signal.SIGKILL)

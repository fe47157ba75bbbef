"""The machine from which a person brings a cluster up, and what is changed for the test hosts.

The configurations are the shipped ones. ``adapt`` changes what docs/cluster.md names under "What
the tests change", and nothing else: test hosts reach no package index, and share two CPUs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import yaml

from tests.remote.hosts import Hosts

LOCAL = "deploy/cluster.local.yaml"
CHECKOUT = Path(__file__).parents[2]
_PARTS = ("tunebox", "search_spaces", "docs", "deploy", "pyproject.toml", "README.md", "LICENSE")
_SMALL = "ray start --object-store-memory=200000000"
# on the head: until the nodes that are alive are those with these addresses
_WAIT_FOR_NODES = """
import ray, sys, time
ray.init("auto", log_to_driver=False, logging_level="ERROR")
while {n["NodeManagerAddress"] for n in ray.nodes() if n["Alive"]} != {*sys.argv[1:]}:
    time.sleep(0.5)
"""

Config = dict[str, Any]


class Laptop:
    """A checkout of its own in ``checkout``, from which commands run as a person types them."""

    def __init__(self, folder: Path) -> None:
        """Copy the checkout into ``folder``; what Ray and SSH keep goes there too."""
        self.checkout = folder / "tunebox"
        for part in _PARTS:
            source, target = CHECKOUT / part, self.checkout / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        home = folder / "home"
        home.mkdir()
        self.environment = {
            "HOME": str(home),
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(self.checkout),
            "RAY_TMPDIR": str(folder),
            "TMPDIR": str(folder),
            "LANG": "C.UTF-8",
        }

    def write(self, name: str, config: Config) -> None:
        """Write a configuration into the checkout, over the one that ships."""
        text = yaml.safe_dump(config, sort_keys=False, width=1000)
        (self.checkout / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> Config:
        """Return a configuration as it is in the checkout."""
        config: Config = yaml.safe_load((self.checkout / name).read_text(encoding="utf-8"))
        return config

    def start(
        self, command: str, output: int | IO[bytes] = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """Start a command line in the checkout."""
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def leave(self, command: str) -> Typed:
        """Start a command line that may print a lot, and return it."""
        return Typed(self, command)

    def run(self, command: str, timeout: float = 600) -> str:
        """Run a command line to its end, which must be a good one, and return what it printed."""
        return self.leave(command).finish(timeout)

    def type(self, command: str) -> str:
        """Run a command of docs/cluster.md as it is written there; return what it printed."""
        return self.type_and_leave(command).finish(600)

    def type_and_leave(self, command: str) -> Typed:
        """Start a command of docs/cluster.md as it is written there."""
        assert command in documented_commands(), f"not in docs/cluster.md: {command}"
        return self.leave(command)


class Typed:
    """A command line that runs. What it prints goes to a file, which never makes it wait."""

    def __init__(self, laptop: Laptop, command: str) -> None:
        """Start it."""
        self.command = command
        handle, self._output = tempfile.mkstemp(dir=laptop.checkout.parent)
        with os.fdopen(handle, "wb") as file:
            self._process = laptop.start(command, file)

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return Path(self._output).read_text(encoding="utf-8", errors="replace")

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._process.poll() is not None

    def wait(self, timeout: float) -> int:
        """Wait for its end and return its exit code."""
        return self._process.wait(timeout)

    def finish(self, timeout: float) -> str:
        """Wait for its end, which must be a good one, and return what it printed."""
        try:
            self.wait(timeout)
        finally:
            self.end()
        assert self._process.returncode == 0, f"{self.command}\n{self.printed}"
        return self.printed

    def end(self) -> None:
        """Kill what is left of it and of what it started."""
        end(self._process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a command line and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def documented_commands() -> list[str]:
    """Return the commands of docs/cluster.md, without the comments behind them."""
    text = (CHECKOUT / "docs/cluster.md").read_text(encoding="utf-8")
    without_blocks = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}(\S.*)$", without_blocks, re.MULTILINE)
    return [line.partition("  # ")[0].strip() for line in indented]


def listens(address: str, port: int) -> bool:
    """Return whether something takes connections there."""
    try:
        socket.create_connection((address, port), 5).close()
    except OSError:
        return False
    return True


def shipped(name: str) -> Config:
    """Return a configuration as it ships."""
    config: Config = yaml.safe_load((CHECKOUT / name).read_text(encoding="utf-8"))
    return config


def adapt(config: Config, key: Path, ray_options: str = "", **variables: str) -> None:
    """Make a configuration one for test hosts.

    Args:
        config: Is changed.
        key: The private key that their root accepts.
        ray_options: More options for every ``ray start``.
        variables: More environment variables for all nodes.
    """
    config["cluster_name"] = key.parent.name  # of which Ray keeps files in /tmp
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    exports = [f"{name}={value}" for name, value in variables.items()]
    exports.append("PYTHONPATH=$HOME/tunebox")
    config["setup_commands"][0] = (
        f"ln -sfn {sys.prefix} ~/venv && printf 'export %s\\n' "
        f"{' '.join(map(repr, exports))} | sudo tee /etc/profile.d/test.sh"
    )
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[commands] = [
            command.replace("ray start", f"{_SMALL}{ray_options}") for command in config[commands]
        ]


def bring_up_local(folder: Path, hosts: Hosts) -> Laptop:
    """Return a laptop that has brought cluster.local.yaml up, with one trial on each host."""
    laptop = Laptop(folder)
    config = shipped(LOCAL)
    head, *workers = hosts.addresses
    config["provider"] |= {"head_ip": head, "worker_ips": workers}
    # a host that is cut off counts as dead after half a minute, not after a whole one
    adapt(config, hosts.key, " --num-cpus=1", RAY_health_check_timeout_ms="4000")
    laptop.write(LOCAL, config)
    laptop.type("ray up -y deploy/cluster.local.yaml")
    wait_for_nodes(hosts, hosts.addresses)
    return laptop


def check_doctor(printed: str, *nodes: str) -> None:
    """All is well on a cluster that has been joined, and it has ``nodes`` and no other."""
    words = [line.split() for line in printed.splitlines()]
    assert {level for level, *_ in words} <= {"ok", "warning"}, printed
    assert "joined the Ray cluster at " in printed
    assert sorted(name for _, what, name, *_ in words if what == "node") == [
        f"{node}:" for node in nodes
    ]


def wait_for_nodes(hosts: Hosts, addresses: list[str]) -> None:
    """Wait until the cluster has the nodes with these addresses, and no other."""
    done = hosts.run(1, "timeout", "600", "python", "-c", _WAIT_FOR_NODES, *addresses)
    assert done.returncode == 0, f"not the nodes {addresses}: {done.stderr}"

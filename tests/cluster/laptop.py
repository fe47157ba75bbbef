"""The machine from which a person brings a cluster up, and what is changed for the test hosts.

The configurations are the shipped ones. ``adapt`` changes what docs/cluster.md names under "What
the tests change", and nothing else: test hosts reach no package index, and share two CPUs.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
_PARTS = ("tunebox", "search_spaces", "docs", "pyproject.toml", "README.md", "LICENSE")
_SMALL = "ray start --object-store-memory=200000000"

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

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command line in the checkout."""
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, command: str) -> str:
        """Run a command of docs/cluster.md as it is written there; return what it printed."""
        process = self.type_and_leave(command)
        return self._finish(process, command, 600)

    def type_and_leave(self, command: str) -> subprocess.Popen[str]:
        """Start a command of docs/cluster.md as it is written there."""
        assert command in documented_commands(), f"not in docs/cluster.md: {command}"
        return self.start(command)

    def run(self, command: str, timeout: float = 600) -> str:
        """Run a command line to its end, which must be a good one, and return what it printed."""
        return self._finish(self.start(command), command, timeout)

    def _finish(self, process: subprocess.Popen[str], command: str, timeout: float) -> str:
        try:
            printed, _ = process.communicate(timeout=timeout)
        finally:
            end(process)
        assert process.returncode == 0, f"{command}\n{printed}"
        return printed


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

"""Another user of this host, who looks for what a search leaves open. Only root can play that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

NOBODY = 65534

# Imports come first: the other user may not be able to read the programs of this one.
_BECOME_OTHER = """
import os, pathlib, sys
from ray._raylet import GcsClient
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
os.chdir("/")
""".replace("NOBODY", str(NOBODY))
_CONNECT = """
GcsClient(sys.argv[1]).get_all_node_info()
"""
_READ = """
for path in sys.argv[1:]:
    try:
        print(path, len(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read()))
    except PermissionError:
        pass
"""
_WRITE = """
for path in sys.argv[1:]:
    try:
        (pathlib.Path(path) / "mine").touch()
        print(path)
    except PermissionError:
        pass
"""


def can_be_played() -> bool:
    """Whether this process may start others as another user."""
    return os.geteuid() == 0


def run_as_other(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of Python as a user without any rights, and without our variables."""
    return subprocess.run(
        [sys.executable, "-c", _BECOME_OTHER + program, *map(str, arguments)],
        env={name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def what_is_open(driver: int, folder: Path) -> list[str]:
    """Return in words what another user can do to a search with a Ray of its own.

    Args:
        driver: The process of the search.
        folder: The folder of the search.
    """
    ray_folder = _variable(driver, "RAY_TMPDIR")
    [address] = {found for found in map(_gcs_address, _children_in(ray_folder)) if found}
    secrets = [f"/proc/{driver}/environ", ray_folder]
    read = run_as_other(_READ, *secrets)
    written = run_as_other(_WRITE, folder, folder.parent, ray_folder)
    called = run_as_other(_CONNECT, address)
    assert read.returncode == written.returncode == 0, read.stderr + written.stderr
    found = [f"reads {line}" for line in read.stdout.splitlines()]
    found += [f"writes to {line}" for line in written.stdout.splitlines()]
    if called.returncode == 0:  # else it was refused, or Ray was too busy to answer in time
        found.append(f"calls Ray at {address}")
    return found


def _variable(process: int, name: str) -> str:
    """Return a variable with which a child of ``process`` was started."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0") if parent == process else []
        except (OSError, IndexError, ValueError):
            continue
        for variable in variables:
            if variable.startswith(f"{name}=".encode()):
                return os.fsdecode(variable.partition(b"=")[2])
    raise LookupError(f"no child of process {process} has {name}")


def _children_in(folder: str) -> list[str]:
    """Return the command lines that name ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(os.fsdecode(entry.read_bytes().replace(b"\0", b" ")))
        except OSError:
            continue
    return [line for line in found if folder in line]


def _gcs_address(command_line: str) -> str | None:
    found = re.search(r"--gcs-address=(\S+)", command_line)
    return None if found is None else found[1]

"""Several hosts on this machine: addresses, SSH servers, disks and process tables of their own.

A host is a network namespace with an interface on a bridge, and namespaces for mounts, processes,
host name and IPC. Its root is this machine's, with writes on a disk of its own, so that it has the
same Python. What this machine keeps of all hosts lies in one memory file system under a name that
follows from their subnet, so that hosts which a crashed run has left can be removed too.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from tests.remote.host_boot import SHARED_FOLDER, HostPlan

_COMMANDS = ("ip", "unshare", "nsenter", "mount", "umount", "ssh-keygen", "rsync", "sshd")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUBNETS = tuple(f"10.89.{third}" for third in range(32))
_DISK_BYTES = 8_000_000_000  # of memory, for all hosts together, and only what they write
# namespaces and an overlay, as a host needs them; containers often may not make them
_PROBE = """
mount -t tmpfs probe /mnt && mkdir /mnt/upper /mnt/work /mnt/root &&
mount -t overlay probe -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
"""


def why_no_hosts() -> str | None:
    """Return why hosts cannot be made on this machine, or None where they can."""
    if sys.platform != "linux":
        return "test hosts need Linux"
    if os.geteuid() != 0:
        return "test hosts need root"
    missing = [name for name in _COMMANDS if shutil.which(name, path=_SYSTEM_PATH) is None]
    if missing:
        return f"test hosts need {', '.join(missing)}: openssh-server, rsync, iproute2, util-linux"
    namespaces = ("--net", "--mount", "--pid", "--fork", "--uts", "--ipc")
    probe = ["unshare", *namespaces, "--propagation", "private", "sh", "-c", _PROBE]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"test hosts need namespaces and overlays: {done.stderr.strip()}"
    return None


@contextmanager
def running_hosts(count: int, first: int = 11) -> Iterator[Hosts]:
    """Give ``count`` hosts that run, and remove them whatever happens.

    Args:
        count: How many.
        first: Last number of the first host's address, 2 to 254.
    """
    hosts = Hosts(first)
    try:
        hosts.up(count)
        yield hosts
    finally:
        hosts.down()


class Hosts:
    """Hosts 1, 2, .. on a subnet that no other set of hosts uses."""

    def __init__(self, first: int = 11) -> None:
        """Take a free subnet, and remove what a crashed run has left on it."""
        self._first = first
        self.subnet, self._lock = _take_subnet()
        self.folder = Path(f"/tmp/tunebox-hosts-{self.subnet}")
        self._bridge = f"tb{self.subnet}"
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._count = 0
        self._remove()

    @property
    def gateway(self) -> str:
        """The address of this machine on the hosts' network."""
        return f"{self.subnet}.1"

    @property
    def key(self) -> Path:
        """The private key that root on every host accepts."""
        return self.folder / "key"

    @property
    def shared(self) -> Path:
        """The folder that all hosts see as SHARED_FOLDER."""
        return self.folder / "shared"

    @property
    def addresses(self) -> list[str]:
        """The address of each host, the first one first."""
        return [self.address(number) for number in range(1, self._count + 1)]

    def address(self, number: int) -> str:
        """Return the address of a host."""
        return f"{self.subnet}.{self._first + number - 1}"

    def up(self, count: int) -> None:
        """Make a network and start ``count`` hosts on it."""
        self._count = count
        self.folder.mkdir(mode=0o700)
        _run("mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=700", "hosts", self.folder)
        self.shared.mkdir()
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tunebox", "-f", self.key)
        _run("ip", "link", "add", self._bridge, "type", "bridge", "forward_delay", "0")
        _run("ip", "address", "add", f"{self.gateway}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        for number in range(1, count + 1):
            self._plug_in(number)
            self.boot(number)

    def boot(self, number: int) -> None:
        """Start a host that is off; its disk is as it was, /tmp and /run are empty.

        Raises:
            RuntimeError: It ended, or its SSH server did not answer.
        """
        plan = HostPlan(
            name=f"host-{number}",
            address=self.address(number),
            disk=str(self.folder / f"host-{number}"),
            shared=str(self.shared),
            authorized_key=self.key.with_suffix(".pub").read_text(encoding="utf-8"),
            names={self.address(n): f"host-{n}" for n in range(1, self._count + 1)},
            visible=_folders_on_other_disks(),
        )
        with self._console(number).open("ab") as console:
            self._processes[number] = subprocess.Popen(
                [
                *("ip", "netns", "exec", self._name(number)),
                *("unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--kill-child"),
                *("--propagation", "private", "--", sys.executable, "-m"),
                *("tests.remote.host_boot", json.dumps(asdict(plan))),
                ],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )  # fmt: skip
        self._wait_for_ssh(number)

    def kill(self, number: int) -> None:
        """Kill all processes of a host at once; its peers see their connections closed."""
        process = self._processes.pop(number)
        process.kill()  # unshare takes the first process of the host along, and that one all others
        process.wait()
        _wait_until_empty(self._name(number))

    def partition(self, number: int) -> None:
        """Cut a host off the network; its processes go on, its peers hear nothing."""
        _run("ip", "link", "set", self._name(number), "down")

    def heal(self, number: int) -> None:
        """Put a host that was cut off back on the network."""
        _run("ip", "link", "set", self._name(number), "up")

    def run(self, number: int, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command on a host without its network, in a login shell's environment."""
        first = self._processes[number].pid
        inside = Path(f"/proc/{first}/task/{first}/children").read_text().split()[0]
        entered = ["nsenter", "--target", inside, "-m", "-p", "-n", "-u", "-i", "-r", "-w"]
        clean = ["env", "-i", "HOME=/home/root", f"PATH={_SYSTEM_PATH}", "LANG=C.UTF-8"]
        login = ["bash", "--login", "-c", '"$@"', "run", *map(str, command)]
        return subprocess.run(
            [*entered, "--", *clean, *login], capture_output=True, text=True, check=False
        )

    def ssh(self, number: int) -> list[str]:
        """Return the start of a command line that runs the rest of it on a host."""
        unasked = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        options = [part for option in unasked for part in ("-o", option)]
        return ["ssh", "-i", str(self.key), *options, f"root@{self.address(number)}"]

    def down(self) -> None:
        """Remove all hosts, their disks and their network."""
        for number in list(self._processes):
            self.kill(number)
        self._remove()
        self._lock.close()

    def _name(self, number: int) -> str:
        """Return the name of a host's network namespace, and of this machine's end of its cable."""
        return f"{self._bridge}-{number}"  # 15 characters at most

    def _console(self, number: int) -> Path:
        return self.folder / f"host-{number}.log"

    def _plug_in(self, number: int) -> None:
        name = self._name(number)
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", name, "master", self._bridge, "up")
        _run("ip", "-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", name, "link", "set", "eth0", "up")
        # leads nowhere: this machine does not forward; a host asks for it to learn its address
        _run("ip", "-n", name, "route", "add", "default", "via", self.gateway)

    def _wait_for_ssh(self, number: int) -> None:
        deadline = time.monotonic() + 60
        while self._processes[number].poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.address(number), 22), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        console = self._console(number).read_text(errors="replace")
        raise RuntimeError(f"host {number} did not come up: {console[-2000:]}")

    def _remove(self) -> None:
        """Remove what bears the names of this set of hosts, whoever made it."""
        listed = subprocess.run(["ip", "-j", "netns"], capture_output=True, text=True, check=True)
        for entry in json.loads(listed.stdout or "[]"):
            if entry["name"].startswith(f"{self._bridge}-"):
                _kill_all(entry["name"])
                _run("ip", "netns", "delete", entry["name"])  # and with it the cable
        if Path("/sys/class/net", self._bridge).exists():
            _run("ip", "link", "delete", self._bridge)
        if self.folder.is_mount():
            _run("umount", "--lazy", self.folder)
        if self.folder.exists():
            self.folder.rmdir()


def _take_subnet() -> tuple[str, IO[str]]:
    """Return a subnet, and the lock that is on it until it is closed or this process ends."""
    for subnet in _SUBNETS:
        lock = open(f"/tmp/tunebox-hosts-{subnet}.lock", "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return subnet, lock
    raise RuntimeError(f"all subnets from {_SUBNETS[0]} to {_SUBNETS[-1]} are in use")


def _folders_on_other_disks() -> list[str]:
    """Return what Python needs that is on another file system than the root, so not on a host's."""
    checkout = Path(__file__).parents[2]
    needed = {sys.prefix, sys.base_prefix, str(checkout)}
    root = os.stat("/").st_dev
    return sorted(folder for folder in needed if os.stat(folder).st_dev != root)


def _pids(namespace: str) -> list[int]:
    listed = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True
    )
    return [int(pid) for pid in listed.stdout.split()]


def _kill_all(namespace: str) -> None:
    for pid in _pids(namespace):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    _wait_until_empty(namespace)


def _wait_until_empty(namespace: str) -> None:
    deadline = time.monotonic() + 60
    while _pids(namespace):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the processes of {namespace} do not end: {_pids(namespace)}")
        time.sleep(0.02)


def _run(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


__all__ = ["SHARED_FOLDER", "Hosts", "running_hosts", "why_no_hosts"]

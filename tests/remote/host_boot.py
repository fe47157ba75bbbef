"""Makes the namespaces it runs in a host: builds the root, enters it and serves SSH.

It is the first process of the host: when it ends, the host is off.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SHARED_FOLDER = "/mnt/tunebox"  # as on the clusters that cluster.yaml makes
_HOME = "/home/root"  # this machine's /root may hold settings that no fresh host has
_SSHD = """\
ListenAddress {address}
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 100
MaxSessions 100
"""


@dataclass(frozen=True)
class HostPlan:
    """What a host is to be.

    Args:
        name: Its host name.
        address: Its IPv4 address, which its network namespace has already.
        disk: The folder with all that it writes.
        shared: The folder of this machine that it sees as SHARED_FOLDER.
        authorized_key: The public key that its root accepts.
        names: The name of every host by its address.
        visible: Folders to show at their own path, beyond the root's file system.
    """

    name: str
    address: str
    disk: str
    shared: str
    authorized_key: str
    names: dict[str, str]
    visible: list[str]


def main() -> None:
    plan = HostPlan(**json.loads(sys.argv[1]))
    socket.sethostname(plan.name)
    root = _build_root(plan)
    _configure(root, plan)
    os.chroot(root)
    os.chdir("/")
    _serve(plan)


def _build_root(plan: HostPlan) -> Path:
    """Mount the host's file systems and return where its root is."""
    upper, work, root = (Path(plan.disk, name) for name in ("upper", "work", "root"))
    shutil.rmtree(work, ignore_errors=True)  # of the last boot
    for folder in (upper, work, root):
        folder.mkdir(parents=True, exist_ok=True)
    _mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", "disk", root)
    _mount("--rbind", "/dev", root / "dev")
    _mount("-t", "tmpfs", "-o", "mode=1777", "shm", root / "dev/shm")
    _mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "pts", root / "dev/pts")
    _mount("--bind", root / "dev/pts/ptmx", root / "dev/ptmx")
    _mount("-t", "proc", "proc", root / "proc")
    _mount("-t", "sysfs", "sys", root / "sys")
    _mount("-t", "tmpfs", "-o", "mode=755", "run", root / "run")
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmp", root / "tmp")
    for source, target in [(plan.shared, SHARED_FOLDER), *((p, p) for p in plan.visible)]:
        place = root / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        _mount("--bind", source, place)
    return root


def _configure(root: Path, plan: HostPlan) -> None:
    """Write the files that make the root another host than this machine."""
    etc = root / "etc"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for address, name in plan.names.items())]
    (etc / "hosts").write_text("\n".join(lines) + "\n")
    (etc / "hostname").write_text(plan.name + "\n")
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("")  # a name fails at once, not after a time-out
    accounts = [line.split(":") for line in (etc / "passwd").read_text().splitlines()]
    accounts = [[*a[:5], _HOME, "/bin/bash"] if a[0] == "root" else a for a in accounts]
    (etc / "passwd").write_text("".join(":".join(account) + "\n" for account in accounts))
    shutil.copytree(etc / "skel", root / _HOME.lstrip("/"), dirs_exist_ok=True)
    (etc / "ssh/authorized_keys").write_text(plan.authorized_key)
    (etc / "ssh/authorized_keys").chmod(0o600)
    (root / "run/sshd").mkdir()
    sudo = root / "usr/local/bin/sudo"  # root needs none, and has the commands that use it
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)


def _serve(plan: HostPlan) -> None:
    """Serve SSH until the server ends, and take in the processes that lost their parent."""
    key = Path("/etc/ssh/host_key")
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    settings = Path("/run/sshd_config")
    settings.write_text(_SSHD.format(address=plan.address))
    server = os.posix_spawn(
        "/usr/sbin/sshd", ["/usr/sbin/sshd", "-D", "-e", "-f", str(settings)], {}
    )
    while os.wait()[0] != server:
        pass


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()

"""Searches in the output folder of a remote cluster, through commands on its head."""

import subprocess
from dataclasses import dataclass

from tunebox import __version__
from tunebox.errors import ClusterError
from tunebox.remote.head import Head

_READ_STORAGE = """
tunebox --version || exit
printf '%s\\n' "$TUNEBOX_OUT" "$MLFLOW_TRACKING_URI"
[ ! -d "$TUNEBOX_OUT" ] || ls -1 "$TUNEBOX_OUT"
"""
# The pid in the lock, if that process lives and has begun to write the journal. A reused pid is
# told apart by the start time of its process.
_FIND_DRIVER = """
cd "$1" 2>/dev/null || exit 0
pid=$(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' lock 2>/dev/null)
started=$(sed -n 's/.*"started": \\([0-9]*\\).*/\\1/p' lock 2>/dev/null)
now=$(sed 's/.*) //' "/proc/${pid:-none}/stat" 2>/dev/null | cut -d ' ' -f 20)
[ -n "$now" ] && [ "$now" = "$started" ] || exit 0
grep -q '"event": "search_started".*"pid": '"$pid"'[,}]' journal.jsonl 2>/dev/null && echo "$pid"
"""


@dataclass(frozen=True)
class ClusterStorage:
    """Where a cluster keeps its searches, as the head's profile says, and their names."""

    head: Head
    out: str  # output folder of all searches
    tracking_uri: str  # MLflow's; empty if the profile sets none
    names: list[str]

    def search(self, name: str) -> "RemoteSearch":
        """Return the search ``name``, whether it exists or not."""
        return RemoteSearch(self.head, name, f"{self.out}/{name}")


def read_storage(head: Head) -> ClusterStorage:
    """Return where the cluster of ``head`` keeps its searches.

    Raises:
        HeadUnreachable: The head cannot be reached.
        ClusterError: The head has no tunebox or another version, or no output folder is set.
    """
    done = head.run(["sh", "-c", _READ_STORAGE])
    lines = done.stdout.splitlines()
    while lines and not lines[0].startswith("tunebox "):  # lines that a profile prints
        lines.pop(0)
    if not lines:
        said = (done.stderr.strip().splitlines() or ["tunebox --version printed nothing"])[-1]
        raise ClusterError(
            f"no tunebox on the head {head.address} ({said.strip()}); install it there by "
            f"setup_commands of {head.cluster_file}, and set PATH in /etc/profile.d/tunebox.sh"
        )
    version, out, tracking_uri, *names = [*lines, "", ""] if len(lines) < 3 else lines
    if version != f"tunebox {__version__}":
        raise ClusterError(
            f"the head {head.address} has {version} and this machine {__version__}: "
            "install the same on both"
        )
    if not out.startswith("/"):
        raise ClusterError(
            f"TUNEBOX_OUT is {out!r} on the head {head.address}; let it name a folder that all "
            f"nodes see, in /etc/profile.d/tunebox.sh by setup_commands of {head.cluster_file}"
        )
    return ClusterStorage(head, out.rstrip("/"), tracking_uri, names)


@dataclass(frozen=True)
class RemoteSearch:
    """A search on a cluster, by its folder there."""

    head: Head
    name: str
    folder: str

    def has(self, file: str) -> bool:
        """Return whether ``file`` is in the search's folder."""
        return self.head.run(["test", "-f", f"{self.folder}/{file}"]).returncode == 0

    def read(self, file: str, *, lines: int | None = None) -> str | None:
        """Return the text of a file in the folder, or its first lines; None if it is absent."""
        command = ["cat"] if lines is None else ["head", "-n", str(lines)]
        done = self.head.run([*command, "--", f"{self.folder}/{file}"])
        return None if done.returncode else done.stdout

    def driver(self) -> int | None:
        """Return the pid of the process that runs the search, None if there is none."""
        printed = self.head.run(["sh", "-c", _FIND_DRIVER, "sh", self.folder]).stdout.split()
        pid = printed[-1] if printed else ""  # a profile may print words of its own
        return int(pid) if pid.isascii() and pid.isdigit() else None

    def follow_journal(self, offset: int, driver: int) -> "subprocess.Popen[bytes]":
        """Stream the journal from byte ``offset`` on until the process ``driver`` has ended."""
        journal = f"{self.folder}/journal.jsonl"
        return self.head.stream(
            ["tail", "-c", f"+{offset + 1}", "-f", f"--pid={driver}", "--", journal]
        )

    def stop(self) -> None:
        """Stop the search as Ctrl-C does, and wait until it has ended.

        Raises:
            HeadUnreachable: The connection was lost; the search may stop nevertheless.
            ClusterError: It does not run.
        """
        out = self.folder.rpartition("/")[0]
        done = self.head.run(["tunebox", "stop", self.name, "--out", out], timeout=None)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ClusterError(said.removeprefix("error: "))


def option_arguments(options: dict[str, object]) -> list[str]:
    """Return command-line arguments for ``options`` by name; None leaves an option out."""
    words = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}={item}" for item in values if item is not None]
    return words

"""Where a cluster keeps its searches, as its head sees it."""

import subprocess
from dataclasses import dataclass

from tunebox import __version__
from tunebox.cluster.head import Head
from tunebox.errors import ClusterError

_LOOK = """
tunebox --version || exit
printf '%s\\n' "$TUNEBOX_OUT" "$MLFLOW_TRACKING_URI"
[ ! -d "$TUNEBOX_OUT" ] || ls -1 "$TUNEBOX_OUT"
"""
# the process in the lock, if it lives and has begun to write the journal; its number may be
# another's by now, which has started at another time
_DRIVER = """
cd "$1" 2>/dev/null || exit 0
pid=$(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' lock 2>/dev/null)
started=$(sed -n 's/.*"started": \\([0-9]*\\).*/\\1/p' lock 2>/dev/null)
now=$(sed 's/.*) //' "/proc/${pid:-none}/stat" 2>/dev/null | cut -d ' ' -f 20)
[ -n "$now" ] && [ "$now" = "$started" ] || exit 0
grep -q '"event": "search_started".*"pid": '"$pid"'[,}]' journal.jsonl 2>/dev/null && echo "$pid"
"""


@dataclass(frozen=True)
class Site:
    """What the profile of the head says, and the searches that are there."""

    head: Head
    out: str  # the folder of all searches
    tracking_uri: str  # of MLflow; empty: none is named
    names: list[str]

    def search(self, name: str) -> "RemoteSearch":
        """Return the search ``name``, be it there or not."""
        return RemoteSearch(self.head, name, f"{self.out}/{name}")


def look_at(head: Head) -> Site:
    """Return where the cluster of ``head`` keeps its searches.

    Raises:
        HeadAway: The head cannot be reached.
        ClusterError: It has no tunebox or another version, or names no folder for searches.
    """
    done = head.run(["sh", "-c", _LOOK])
    lines = done.stdout.splitlines()
    while lines and not lines[0].startswith("tunebox "):  # what a profile prints
        lines.pop(0)
    if not lines:
        said = (done.stderr.strip().splitlines() or ["tunebox --version printed nothing"])[-1]
        raise ClusterError(
            f"no tunebox on the head {head.address} ({said.strip()}); install it there by "
            f"setup_commands of {head.cluster_file}, and set PATH in /etc/profile.d/tunebox.sh"
        )
    version, out, tracking_uri, *names = lines
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
    return Site(head, out.rstrip("/"), tracking_uri, names)


@dataclass(frozen=True)
class RemoteSearch:
    """The folder of a search on a cluster."""

    head: Head
    name: str
    folder: str

    def has(self, file: str) -> bool:
        """Return whether the folder has a file of that name."""
        return self.head.run(["test", "-f", f"{self.folder}/{file}"]).returncode == 0

    def read(self, file: str, *, lines: int | None = None) -> str | None:
        """Return a file of the folder, or its first lines; None if it is not there."""
        command = ["cat"] if lines is None else ["head", "-n", str(lines)]
        done = self.head.run([*command, "--", f"{self.folder}/{file}"])
        return None if done.returncode else done.stdout

    def driver(self) -> int | None:
        """Return the number of the process that runs the search; None: none has begun to."""
        printed = self.head.run(["sh", "-c", _DRIVER, "sh", self.folder]).stdout.split()
        return int(printed[-1]) if printed else None

    def follow_journal(self, offset: int, driver: int) -> "subprocess.Popen[bytes]":
        """Start to read the journal from a byte on, until the process ``driver`` is gone."""
        journal = f"{self.folder}/journal.jsonl"
        return self.head.stream(
            ["tail", "-c", f"+{offset + 1}", "-f", f"--pid={driver}", "--", journal]
        )

    def stop(self) -> None:
        """End the search as Ctrl-C does, and wait until it has ended.

        Raises:
            HeadAway: The connection was lost; the search may have heard of it.
            ClusterError: It does not run.
        """
        out = self.folder.rpartition("/")[0]
        done = self.head.run(["tunebox", "stop", self.name, "--out", out], timeout=None)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ClusterError(said.removeprefix("error: "))


def option_words(options: dict[str, object]) -> list[str]:
    """Return options of the command line by name as it takes them; None stands for none."""
    words = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}={item}" for item in values if item is not None]
    return words

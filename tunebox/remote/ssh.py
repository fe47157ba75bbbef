"""Command lines of ssh and rsync to a head.

What a cluster file says becomes a word of these command lines: it must not be taken for an option,
and user and address must not mean anything to the shell that runs a proxy command.
"""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebox.text import printable

_OPTIONS = (
    # heads in a cloud come and go, and their addresses are reused
    *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}"),
    *("-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes"),
    # detect a dead connection within 15 seconds
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=10"),
    *("-o", "BatchMode=yes"),  # several run at a time, so nobody could answer a prompt
)
_NAME = re.compile(r"[\w.:%@+~^=,-]+")  # what ssh itself lets a proxy command have, and no more


@dataclass(frozen=True)
class Login:
    """How to log in to a host.

    Attributes:
        user: Name of the user there.
        address: Host name or IP address.
        keys: Files of keys, tried in turn; if empty, ssh uses its defaults.
        proxy_command: Command for a shell, through which ssh connects; None connects directly.
    """

    user: str
    address: str
    keys: tuple[Path, ...] = ()
    proxy_command: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a value that would not stay what it is on a command line."""
        _check_name("user", self.user)
        _check_name("address", self.address)
        for key in self.keys:
            _check_word("key", str(key))
        if self.proxy_command is not None:
            _check_word("proxy command", self.proxy_command)

    def __str__(self) -> str:
        return f"{self.user}@{self.address}"

    def ssh(self, line: str, *options: str) -> list[str]:
        """Return the command line that lets a shell on the host run ``line``.

        Args:
            line: For the shell there, such as `login_shell` makes.
            options: Further options of ssh.
        """
        return [*self._ssh(), *options, "--", str(self), line]

    def rsync(self, remote: str, local: Path, *filters: str) -> list[str]:
        """Return the command line that copies the content of a folder there into one here.

        Args:
            remote: Folder on the host.
            local: Folder on this machine.
            filters: Options of rsync that select files, such as ``--exclude=*``.
        """
        source = f"{self}:{remote.rstrip('/')}/"
        options = ["-rt", "-s", "--timeout=60", "-e", shlex.join(self._ssh()), *filters]
        # absolute: a colon in a relative path would make it a path on another host
        return ["rsync", *options, "--", source, f"{local.absolute()}/"]

    def _ssh(self) -> list[str]:
        keys = [word for key in self.keys for word in ("-i", str(key))]
        proxy = [] if self.proxy_command is None else ["-o", f"ProxyCommand={self.proxy_command}"]
        return ["ssh", *keys, *proxy, *_OPTIONS]


def login_shell(command: Sequence[str]) -> str:
    """Return the shell's command line that runs ``command`` in a login shell, with its profile."""
    return shlex.join(["bash", "--login", "-c", f"exec {shlex.join(command)}"])


def _check_name(what: str, name: str) -> None:
    if name.startswith("-") or not _NAME.fullmatch(name):
        raise ValueError(f"the {what} of ssh is {name!r}, which cannot be a name")


def _check_word(what: str, word: str) -> None:
    if word.startswith("-"):
        raise ValueError(f"the {what} of ssh is {word!r}, which would be an option")
    if printable(word) != word:
        raise ValueError(f"the {what} of ssh is {word!r}, which cannot be printed on a line")

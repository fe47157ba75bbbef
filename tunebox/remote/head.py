"""The head of a remote cluster: run commands on it, open tunnels to it, copy files from it.

Everything goes through SSH, with the user, the key and the proxy command of the cluster file, so
that the head needs no other open port.
"""

import contextlib
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunebox.errors import ClusterError
from tunebox.remote.ssh import Login, login_shell
from tunebox.text import shell_command

_SSH_FAILED = 255  # exit code of ssh when the connection failed, and not the command
_RSYNC_DISCONNECTED = (10, 12, 30, 35, 255)  # exit codes: socket, data stream, time-outs, ssh
_TUNNEL_SECONDS = 20.0


class HeadUnreachable(ClusterError):
    """The head cannot be reached at the moment; another try may succeed."""


@dataclass(frozen=True)
class Head:
    """A head and how to log in to it."""

    cluster_file: str  # as the user typed it
    address: str
    user: str
    keys: tuple[Path, ...] = ()  # tried in turn; if empty, ssh uses its defaults
    proxy_command: str | None = None

    @property
    def login(self) -> Login:
        """What ssh and rsync are told.

        Raises:
            ValueError: A value would not stay what it is on a command line.
        """
        return Login(self.user, self.address, self.keys, self.proxy_command)

    @property
    def start_command(self) -> str:
        """The command that starts the cluster, to be typed."""
        return start_command(self.cluster_file)

    def run(
        self, argv: Sequence[str], *, input: str = "", timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a login shell on the head and return how it ended.

        Args:
            argv: Command and arguments; a shell interprets none of them.
            input: Standard input of the command.
            timeout: Seconds to wait for the command's end; None waits forever.

        Raises:
            HeadUnreachable: The head cannot be reached, or does not answer within ``timeout``.
        """
        try:
            done = subprocess.run(
                self.login.ssh(login_shell(argv)),
                input=input,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",  # somebody may have damaged a file that is read
                timeout=timeout,
                check=False,
                start_new_session=True,  # Ctrl-C must reach this process only
            )
        except subprocess.TimeoutExpired as error:
            raise self._unreachable(
                f"no answer to {argv[0]!r} within {timeout:g} seconds"
            ) from error
        if done.returncode == _SSH_FAILED:
            raise self._unreachable(_last_line(done.stderr))
        return done

    def stream(self, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a command on the head and return the ssh process; ``stdout`` streams its output.

        The exit code is that of the command, or 255 if the connection was lost.
        """
        return subprocess.Popen(
            self.login.ssh(login_shell(argv)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def tunnel(
        self, port: int, *, host: str = "127.0.0.1", local_port: int | None = None
    ) -> Iterator["Tunnel"]:
        """Forward a port of this machine to a port that the head can reach.

        Args:
            port: Port on ``host``.
            host: Host name as the head resolves it.
            local_port: Port on 127.0.0.1 of this machine; None takes a free one.

        Raises:
            HeadUnreachable: The head cannot be reached.
        """
        here = local_port or _free_port()
        forward = f"127.0.0.1:{here}:{host}:{port}"
        process = subprocess.Popen(
            # when this process ends, so does the pipe, then ``cat``, then ssh
            self.login.ssh("cat", "-L", forward),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            self._wait_until_open(process, here)
            yield Tunnel(here, process)
        finally:
            process.kill()
            process.communicate()

    def fetch(self, remote: str, local: Path, *filters: str) -> None:
        """Copy the content of the folder ``remote`` into the folder ``local``, by rsync.

        Args:
            remote: Folder on the head.
            local: Folder on this machine; made when absent. Files that are only here stay.
            filters: Options of rsync that select files, such as ``--exclude=*``.

        Raises:
            HeadUnreachable: The connection was lost.
            ClusterError: rsync is missing on one side, or a file could not be read or written.
        """
        if shutil.which("rsync") is None:
            raise ClusterError("rsync is missing on this machine; install it, then try again")
        local.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            self.login.rsync(remote, local, *filters),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            start_new_session=True,
        )
        if done.returncode in _RSYNC_DISCONNECTED:
            raise self._unreachable(_last_line(done.stderr))
        if done.returncode:
            raise ClusterError(f"{remote} could not be downloaded: {_last_line(done.stderr)}")

    def _wait_until_open(self, process: "subprocess.Popen[str]", port: int) -> None:
        """Wait until ssh has logged in, when it starts to listen on ``port``."""
        end = time.monotonic() + _TUNNEL_SECONDS
        while time.monotonic() < end:
            if process.poll() is not None:
                assert process.stderr is not None
                raise self._unreachable(_last_line(process.stderr.read()))
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            time.sleep(0.05)
        raise self._unreachable(f"no tunnel within {_TUNNEL_SECONDS:g} seconds")

    def _unreachable(self, reason: str) -> HeadUnreachable:
        return HeadUnreachable(
            f"the head of {self.cluster_file} does not answer by ssh at {self.login} "
            f"({reason}); is it up ({self.start_command}), and is the key right?"
        )


def start_command(cluster_file: str) -> str:
    """Return the command that starts the cluster of ``cluster_file``, to be typed."""
    return shell_command("ray", "up", Path(cluster_file))


@dataclass(frozen=True)
class Tunnel:
    """A local port that is forwarded while ``process`` runs."""

    port: int
    process: "subprocess.Popen[str]"


@contextlib.contextmanager
def quiet_ray() -> Iterator[None]:
    """Silence Ray's log on this machine, whose addresses are those of a tunnel."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

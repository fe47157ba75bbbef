"""The head of a cluster that runs somewhere else: commands on it, tunnels to it, files from it.

All of it goes through SSH, with the user, the key and the options of ``ray up``: a head needs no
other open port.
"""

import contextlib
import io
import logging
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tunebox.errors import ClusterError, first_line

_SSH_OPTIONS = (
    # heads of a cloud come and go, and their addresses are used again
    *("-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={os.devnull}"),
    *("-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "ExitOnForwardFailure=yes"),
    # a dead connection is noticed within 15 seconds
    *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=10"),
    *("-o", "BatchMode=yes"),  # nobody could answer: several run at a time
)
_SSH_TROUBLE = 255  # exit code of ssh where the connection, and not the command, failed
_RSYNC_TROUBLE = (10, 12, 30, 35, 255)  # socket, data stream, time-outs, ssh
_TUNNEL_SECONDS = 20.0

_Answer = TypeVar("_Answer")


class HeadAway(ClusterError):
    """The head cannot be reached; it may be there again a moment later."""


@dataclass(frozen=True)
class Head:
    """A head and how to log in there."""

    cluster_file: str  # as a person types it
    address: str
    user: str
    keys: tuple[Path, ...] = ()  # tried in turn; none: what ssh takes by itself
    proxy_command: str | None = None

    def run(
        self, argv: Sequence[str], *, input: str = "", timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a login shell on the head and return how it ended.

        Args:
            argv: The command and its arguments; none is looked at by a shell.
            input: What the command reads.
            timeout: Seconds; None waits for its end.

        Raises:
            HeadAway: The head cannot be reached, or does not answer within ``timeout``.
        """
        try:
            done = subprocess.run(
                [*self._ssh(), self._login, _login_shell(argv)],
                input=input,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                start_new_session=True,  # Ctrl-C is ours
            )
        except subprocess.TimeoutExpired as error:
            raise self._away(f"no answer to {argv[0]!r} within {timeout:g} seconds") from error
        if done.returncode == _SSH_TROUBLE:
            raise self._away(_last_line(done.stderr))
        return done

    def stream(self, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a command on the head; its output comes through ``stdout`` as it is written.

        The exit code is that of the command, or 255 when the connection was lost.
        """
        return subprocess.Popen(
            [*self._ssh(), self._login, _login_shell(argv)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @contextlib.contextmanager
    def tunnel(
        self, port: int, *, host: str = "127.0.0.1", local_port: int | None = None
    ) -> Iterator["Tunnel"]:
        """Forward a port of this machine to a port as the head sees it.

        Args:
            port: On ``host``.
            host: As the head names it.
            local_port: On 127.0.0.1 here; None: one that is free.

        Raises:
            HeadAway: The head cannot be reached.
        """
        here = local_port or _free_port()
        forward = f"127.0.0.1:{here}:{host}:{port}"
        process = subprocess.Popen(
            # the pipe ends with us, whatever ends us: then ``cat`` ends, and with it ssh
            [*self._ssh(), "-L", forward, self._login, "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            self._wait_until_open(process, here)
            yield Tunnel(here, process)
        finally:
            process.kill()
            process.communicate()

    def fetch(self, remote: str, local: Path, *filters: str) -> None:
        """Bring what is in the folder ``remote`` into the folder ``local``, by rsync.

        Args:
            remote: A folder on the head.
            local: Made when absent; what is there already and not on the head stays.
            filters: Options of rsync that say what is brought.

        Raises:
            HeadAway: The connection was lost.
            ClusterError: There is no rsync here or there, or a file could not be read or written.
        """
        if shutil.which("rsync") is None:
            raise ClusterError("rsync is missing on this machine; install it, then try again")
        ssh = shlex.join(self._ssh())
        source = f"{self._login}:{remote.rstrip('/')}/"
        command = ["rsync", "-rt", "-s", "--timeout=60", "-e", ssh, *filters, source, f"{local}/"]
        local.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, start_new_session=True
        )
        if done.returncode in _RSYNC_TROUBLE:
            raise self._away(_last_line(done.stderr))
        if done.returncode:
            raise ClusterError(f"{remote} was not brought home: {_last_line(done.stderr)}")

    def _ssh(self) -> list[str]:
        keys = [word for key in self.keys for word in ("-i", str(key))]
        proxy = [] if self.proxy_command is None else ["-o", f"ProxyCommand={self.proxy_command}"]
        return ["ssh", *keys, *proxy, *_SSH_OPTIONS]

    @property
    def _login(self) -> str:
        return f"{self.user}@{self.address}"

    def _wait_until_open(self, process: "subprocess.Popen[str]", port: int) -> None:
        """Wait until ssh has logged in: it listens from then on."""
        end = time.monotonic() + _TUNNEL_SECONDS
        while time.monotonic() < end:
            if process.poll() is not None:
                assert process.stderr is not None
                raise self._away(_last_line(process.stderr.read()))
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            time.sleep(0.05)
        raise self._away(f"no tunnel within {_TUNNEL_SECONDS:g} seconds")

    def _away(self, reason: str) -> HeadAway:
        return HeadAway(
            f"the head of {self.cluster_file} does not answer by ssh at {self._login} "
            f"({reason}); is it up (ray up {self.cluster_file}), and is the key right?"
        )


@dataclass(frozen=True)
class Tunnel:
    """A port of this machine that leads to the head while ``process`` runs."""

    port: int
    process: "subprocess.Popen[str]"


def find_head(cluster_file: str) -> Head:
    """Return the head of the cluster that ``ray up cluster_file`` started.

    Raises:
        ClusterError: The file is not there or no such file, the cluster does not run, or its key
            is not here.
    """
    config = _read(cluster_file)
    return Head(
        cluster_file=cluster_file,
        address=_asked_of_ray(cluster_file, lambda: _address(cluster_file, config)),
        user=config["auth"]["ssh_user"],
        keys=_keys(cluster_file, config),
        proxy_command=config["auth"].get("ssh_proxy_command"),
    )


def _read(cluster_file: str) -> dict[str, Any]:
    """Return the file, with what we and Ray take of it in place."""
    try:
        config: dict[str, Any] = yaml.safe_load(Path(cluster_file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterError(f"{cluster_file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(f"{cluster_file}: not YAML: {' '.join(str(error).split())}") from error
    wanted = {"cluster_name": str, "provider": dict, "auth": dict}
    for key, kind in wanted.items():
        if not isinstance(config, dict) or not isinstance(config.get(key), kind):
            raise ClusterError(
                f"{cluster_file}: no {key}; it is to be the file that the cluster was started "
                f"with: ray up {cluster_file}"
            )
    for section, key in (("provider", "type"), ("auth", "ssh_user")):
        if not isinstance(config[section].get(key), str):
            raise ClusterError(f"{cluster_file}: no {section}/{key}; see ray up")
    if config.get("docker", {}).get("container_name"):
        raise ClusterError(
            f"{cluster_file}: docker/container_name: tunebox is to be installed on the head "
            "itself; leave docker out"
        )
    return config


def _address(cluster_file: str, config: Mapping[str, Any]) -> str:
    provider = config["provider"]
    if provider["type"] == "local" and "head_ip" in provider:
        return str(provider["head_ip"])  # Ray knows it only where ``ray up`` was typed
    from ray.autoscaler.sdk import get_head_node_ip

    return str(get_head_node_ip(cluster_file))


def _keys(cluster_file: str, config: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the keys that the head may take: the file's, else what ``ray up`` made for a cloud.

    They are looked for by the names that Ray gives them. Ray itself would make a new pair where it
    finds none, and the next ``ray up`` with it another head.
    """
    auth, provider = config["auth"], config["provider"]
    if "ssh_private_key" in auth:
        return (Path(auth["ssh_private_key"]).expanduser(),)
    if provider["type"] == "local":
        return ()
    made = (provider.get("key_pair") or {}).get("key_name")
    pattern = escape(made) if made else f"ray-autoscaler_*{escape(str(provider.get('region')))}"
    there = Path("~/.ssh").expanduser().glob(f"{pattern}*")
    found = tuple(sorted(path for path in there if path.suffix != ".pub"))
    if not found:
        raise ClusterError(
            f"{cluster_file}: the key of the cluster is not on this machine: no "
            f"~/.ssh/{pattern}*; bring it from the machine where ray up was typed"
        )
    return found


def _asked_of_ray(cluster_file: str, ask: Callable[[], _Answer]) -> _Answer:
    """Return what Ray answers, without what it prints on the way."""
    silent = io.StringIO()
    try:
        with quiet_ray(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            return ask()
    except (Exception, SystemExit) as error:  # each cloud's library raises errors of its own
        raise ClusterError(
            f"{cluster_file}: no running head found ({first_line(error)}); start it with: "
            f"ray up {cluster_file}"
        ) from error


@contextlib.contextmanager
def quiet_ray() -> Iterator[None]:
    """Keep what Ray logs on a laptop to itself: its addresses are those of a tunnel."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _login_shell(argv: Sequence[str]) -> str:
    """Return the command line for ``argv`` in a shell that has read the profile of the node."""
    return shlex.join(["bash", "--login", "-c", f"exec {shlex.join(argv)}"])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

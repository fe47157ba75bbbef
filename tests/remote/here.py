"""A head that is this machine: commands run here and at once, without SSH and a login shell.

Its tunnels lead nowhere, and are lost after a moment.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tunebox.remote.head import Head, Tunnel


@dataclass(frozen=True)
class HereHead(Head):
    """Runs commands here, with ``environment`` for what a profile would say."""

    cluster_file: str = "cluster.yaml"
    address: str = "here"
    user: str = "me"
    keys: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/bin:/bin"})
    streams: list[subprocess.Popen[bytes]] = field(default_factory=list)  # killed: a cut

    def run(
        self, argv: Sequence[str], *, input: str = "", timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*argv],
            input=input,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            env=self.environment,
        )

    def fetch(self, remote: str, local: Path, *filters: str) -> None:
        local.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rsync", "-rt", *filters, f"{remote}/", f"{local}/"], check=True)

    @contextmanager
    def tunnel(
        self, port: int, *, host: str = "127.0.0.1", local_port: int | None = None
    ) -> Iterator[Tunnel]:
        with subprocess.Popen(["sleep", "0.2"], text=True) as process:
            yield Tunnel(local_port or 1, process)  # port 1: nothing answers

    def stream(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        self.streams.append(subprocess.Popen([*argv], stdout=subprocess.PIPE))
        return self.streams[-1]

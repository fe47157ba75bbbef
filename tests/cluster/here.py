"""A head that is this machine: commands run here and at once, without SSH and a login shell."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunebox.cluster.head import Head


@dataclass(frozen=True)
class HereHead(Head):
    """Runs commands here, with ``environment`` for what a profile would say."""

    cluster_file: str = "cluster.yaml"
    address: str = "here"
    user: str = "me"
    key: Path | None = None
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
            check=False,
            env=self.environment,
        )

    def stream(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        self.streams.append(subprocess.Popen([*argv], stdout=subprocess.PIPE))
        return self.streams[-1]

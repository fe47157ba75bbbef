"""A head that is this machine: commands run here, in a login shell as on a head, without SSH."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tunebox.cluster.head import Head, HeadAway


class HereHead(Head):
    """Runs commands here; while ``is_away`` none of them reaches it."""

    def __init__(self, **environment: str) -> None:
        super().__init__("cluster.yaml", "here", "me", None)
        object.__setattr__(self, "environment", {"PATH": "/usr/bin:/bin", **environment})
        object.__setattr__(self, "streams", [])
        object.__setattr__(self, "is_away", False)

    environment: dict[str, str]
    streams: list[subprocess.Popen[bytes]]
    is_away: bool

    def run(
        self, argv: Sequence[str], *, timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        if self.is_away:
            raise HeadAway("away")
        return subprocess.run(
            [*argv], capture_output=True, text=True, check=False, env=self.environment
        )

    def stream(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*argv], stdout=subprocess.PIPE)
        self.streams.append(process)
        return process

"""What the CPUs of this machine do."""

import os
from pathlib import Path


def busy_seconds() -> float:
    """Return how long this machine's CPUs were busy since it started, all of them added up."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    ticks = [int(field) for field in fields[:8]]
    idle = ticks[3] + ticks[4]  # idle, and waiting for a disk
    return (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK")

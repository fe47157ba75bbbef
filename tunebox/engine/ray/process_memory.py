"""How much memory this process has taken."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory(status: Path = _STATUS) -> int | None:
    """Return the most memory of its own that this process had so far, in bytes.

    That is the peak of its resident memory without the pages of files, such as libraries, which
    the processes of a node share.

    Args:
        status: What the system says about the process.

    Returns:
        None where the system does not say: only Linux does.
    """
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        peak, *shared = (_bytes(fields[name]) for name in ("VmHWM", "RssFile", "RssShmem"))
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return max(0, peak - sum(shared))


def _bytes(field: str) -> int:
    return int(field.split()[0]) * 1024

"""How much memory this process has taken, and that what it frees goes back."""

from __future__ import annotations

import ctypes
from pathlib import Path

_STATUS = Path("/proc/self/status")
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE = 24 * 2**20  # lower ones cost time with small images: new pages for each tensor


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


def give_back_large_blocks() -> None:
    """Let the C library give each block of 24 MB or more back to the system once it is freed.

    By default glibc raises that limit up to 32 MB as blocks are freed. A freed block below it stays
    with the process as long as anything lies behind it in the heap, and in a worker, where Ray
    allocates too, something always does. Does nothing with another C library.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    except (AttributeError, OSError, TypeError):  # the last on Windows
        return


def _bytes(field: str) -> int:
    return int(field.split()[0]) * 1024

"""One process at a time may run a search: the lock in its folder."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock at ``path``; the operating system lets go of it when the process dies.

    The file says who holds it: host, process, since when; it is removed at the end. Where locks do
    not reach across hosts, as on some network file systems, what the file says counts.

    Raises:
        RecordsError: Another process holds it, or the file cannot be written.
    """
    file = _open(path)
    try:
        _take(file, path)
        while not _is_still_at(path, file):  # its last holder removed it while we came
            os.close(file)
            file = _open(path)
            _take(file, path)
        try:
            yield
        finally:
            if _is_still_at(path, file):  # not that of a search that took the place of ours
                with suppress(OSError):
                    path.unlink()
    finally:
        os.close(file)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RecordsError(f"{path} cannot be written: {error.strerror}") from error


def _is_still_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except OSError:
        return False


def holder(path: Path) -> str | None:
    """Return who holds the lock at ``path`` in words; None if nobody does."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _words(_read(path))
    except OSError:
        pass
    return None


def _take(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecordsError(
            f"{path.parent} is in use by {_words(_read(path))}; wait for its end, or end it"
        ) from error
    except OSError:
        is_exclusive = False  # a file system without locks
    else:
        is_exclusive = True
    before = _read(path)
    here = socket.gethostname()
    if before and before.get("host") != here:
        raise RecordsError(
            f"{path.parent} was in use by {_words(before)}; if that process is gone, remove {path}"
        )
    if before and not is_exclusive and _is_alive(before.get("pid")):
        raise RecordsError(f"{path.parent} is in use by {_words(before)}; wait for its end")
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    content = json.dumps({"host": here, "pid": os.getpid(), "since": since}).encode()
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, content, 0)
    except OSError as error:
        raise RecordsError(f"{path} cannot be written: {error.strerror}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _words(content: dict[str, Any]) -> str:
    pid, host = content.get("pid", "unknown"), content.get("host", "unknown")
    return f"process {pid} on host {host} since {content.get('since', 'an unknown time')}"


def _is_alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

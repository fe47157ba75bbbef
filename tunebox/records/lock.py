"""The lock of a search's folder: one process at a time may run the search.

On one host it is a lock of the operating system. Some network file systems do not share such locks
between hosts, so the holder also writes a heartbeat: a new number in the file every few
seconds. The clocks of two hosts are never compared: a process that wants the lock of another host
watches the file, and takes the lock over if it does not change for long enough.
"""

import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tunebox.errors import RecordsError
from tunebox.records.files import check_format, json_mapping
from tunebox.text import printable

FORMAT = 1
_BEAT_SECONDS = 10.0
_DEAD_SECONDS = 60.0  # without a heartbeat, which may be late on a slow file system
_POLL_SECONDS = 1.0


def _ignore(line: str) -> None:
    pass


@contextmanager
def locked(path: Path, tell: Callable[[str], None] = _ignore) -> Iterator[None]:
    """Hold the lock at ``path``; the operating system releases it when the process dies.

    The file names its holder: host, process and start time. It is removed at the end. A lock of
    another host is taken over after a minute without a heartbeat. A process that loses its lock
    this way, after being suspended, exits at once: two processes must not run one search.

    Args:
        path: Path of the lock file.
        tell: Called with a line when a lock of another host is watched and when it is taken over.

    Raises:
        RecordsError: Another process holds it, the file cannot be written, or a later version of
            tunebox wrote it.
    """
    file = _open(path)
    try:
        mark = _take(file, path, tell)
        while not _is_still_at(path, file):  # the last holder removed the file meanwhile
            os.close(file)
            file = _open(path)
            mark = _take(file, path, tell)
        try:
            with _beating(file, path, mark):
                yield
        finally:
            if _is_still_at(path, file):  # and not the file of a process that took the lock over
                with suppress(OSError):
                    path.unlink()
    finally:
        os.close(file)


def holding_process(path: Path) -> tuple[str, int] | None:
    """Return host and pid of the process that holds the lock, None if no process does."""
    if holder(path) is None:
        return None
    content = _read(path)
    host, pid = content.get("host"), content.get("pid")
    return (host, pid) if isinstance(host, str) and isinstance(pid, int) else None


def holder(path: Path) -> str | None:
    """Return a description of the process that holds the lock at ``path``, None if none does."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _words(_read(path))
    except OSError:
        pass
    return None


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


def _take(file: int, path: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Take the lock, and return the content that marks it as held by this process."""
    is_exclusive = _lock_here(file, path)
    before = _read(path)
    check_format(path, before, FORMAT)
    here = socket.gethostname()
    if before and before.get("host") != here:
        _watch(path, before, tell)
    elif before and not is_exclusive and _is_alive(before):
        raise _in_use(path, before)
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    pid = os.getpid()
    mark = {"format": FORMAT, "host": here, "pid": pid, "started": _started(pid), "since": since}
    try:
        _write(file, mark, 0)
    except OSError as error:
        raise RecordsError(f"{path} cannot be written: {error.strerror}") from error
    return mark


def _lock_here(file: int, path: Path) -> bool:
    """Take the operating system's lock; return False if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _in_use(path, _read(path)) from error
    except OSError:
        return False  # a file system without locks
    return True


def _watch(path: Path, before: dict[str, Any], tell: Callable[[str], None]) -> None:
    """Return once the holder on another host has sent no heartbeat for long enough."""
    tell(f"{path.parent} was in use by {_words(before)}; looking for its heartbeat")
    start = time.monotonic()
    while (waited := time.monotonic() - start) < _DEAD_SECONDS:
        time.sleep(min(_POLL_SECONDS, _DEAD_SECONDS - waited))
        now = _read(path)
        if not now:
            return  # it ended, and removed the file
        if now != before:
            raise _in_use(path, now)
    tell(f"no heartbeat for {_DEAD_SECONDS:g} s: that process is gone, and its lock is taken over")


@contextmanager
def _beating(file: int, path: Path, mark: dict[str, Any]) -> Iterator[None]:
    """Write the heartbeat in a background thread."""
    is_over = threading.Event()

    def beat() -> None:
        number = 0
        while not is_over.wait(_BEAT_SECONDS):
            number += 1
            now = _read(path)
            if now and {**now, "beat": 0} != {**mark, "beat": 0}:
                # not a clean end, which would write into the records of the new holder
                taken = printable(f"error: {path} was taken over by {_words(now)}")
                print(taken, file=sys.stderr, flush=True)
                os._exit(1)
            with suppress(OSError):  # disk full or folder gone: the search reports it
                _write(file, mark, number)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()  # the caller closes the file next


def _write(file: int, mark: dict[str, Any], beat: int) -> None:
    content = json.dumps({**mark, "beat": beat}).encode()
    os.pwrite(file, content, 0)
    os.ftruncate(file, len(content))
    os.fsync(file)  # so that other hosts see it


def _read(path: Path) -> dict[str, Any]:
    try:
        return json_mapping(path.read_bytes()) or {}
    except OSError:
        return {}


def _in_use(path: Path, content: dict[str, Any]) -> RecordsError:
    who = _words(content)
    return RecordsError(f"{path.parent} is in use by {who}; wait for its end, or end it")


def _words(content: dict[str, Any]) -> str:
    pid, host = content.get("pid", "unknown"), content.get("host", "unknown")
    return f"process {pid} on host {host} since {content.get('since', 'an unknown time')}"


def _is_alive(content: dict[str, Any]) -> bool:
    """Return whether the process that wrote ``content`` on this host still runs."""
    pid = content.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return content.get("started") in (None, _started(pid))  # the pid may be reused


def _started(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot, None where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None

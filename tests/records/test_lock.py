from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tunebox.errors import RecordsError
from tunebox.records import lock
from tunebox.records.lock import holder, locked

HOLD = """
import sys, time
from pathlib import Path
from tunebox.records.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def start_holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_with_the_name_of_the_first(path: Path) -> None:
    with start_holder(path) as process:
        who = f"process {process.pid} on host {socket.gethostname()} since 20"
        with pytest.raises(RecordsError, match=re.escape(who)), locked(path):
            pass
        named = holder(path)
        assert named is not None
        assert named.startswith(who)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert holder(path) is None
    assert json.loads(path.read_text())["pid"] == process.pid  # left by a dead process
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_the_lock_is_released_after_an_error(path: Path) -> None:
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert not path.exists()
    assert holder(path) is None
    with locked(path):
        pass


def test_a_lock_that_was_removed_in_between_is_taken_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held the removed file must not share the lock with whoever makes a new one."""
    original = fcntl.flock
    takes: list[int] = []

    def flock(file: int, operation: int) -> None:
        if not takes:
            path.unlink()  # as its last holder does between our open and our lock
        takes.append(file)
        original(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(path):
        assert len(takes) == 2
        assert json.loads(path.read_text())["pid"] == os.getpid()
        monkeypatch.undo()
        assert holder(path) is not None


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heart that beats, and is listened to, a hundred times as fast."""
    for name in ("_BEAT_SECONDS", "_DEAD_SECONDS", "_POLL_SECONDS"):
        monkeypatch.setattr(lock, name, getattr(lock, name) / 100)


def on_another_host(path: Path, **more: object) -> dict[str, object]:
    left = {"host": "elsewhere", "pid": 12, "since": "2026-01-02T03:04:05", **more}
    path.write_text(json.dumps(left))
    return left


@pytest.mark.usefixtures("quick")
def test_a_lock_of_another_host_without_a_heartbeat_is_taken_over(path: Path) -> None:
    on_another_host(path, format=1, beat=77)
    told: list[str] = []
    with locked(path, told.append):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    who = "process 12 on host elsewhere since 2026-01-02T03:04:05"
    assert told == [
        f"{path.parent} was in use by {who}; looking for its heartbeat",
        "no heartbeat for 0.6 s: that process is gone, and its lock is taken over",
    ]


@pytest.mark.usefixtures("quick")
def test_a_lock_of_another_host_with_a_heartbeat_is_refused(path: Path) -> None:
    is_over = threading.Event()

    def beat_elsewhere() -> None:
        beside, number = path.with_name("new"), 0
        while not is_over.wait(0.05):
            number += 1
            on_another_host(beside, beat=number)
            beside.replace(path)

    on_another_host(path)
    heart = threading.Thread(target=beat_elsewhere)
    heart.start()
    try:
        with (
            pytest.raises(RecordsError, match="is in use by process 12 on host elsewhere since"),
            locked(path),
        ):
            pass
    finally:
        is_over.set()
        heart.join()


@pytest.mark.usefixtures("quick")
def test_a_holder_that_ends_while_it_is_watched_makes_room(path: Path) -> None:
    on_another_host(path)
    timer = threading.Timer(0.1, path.unlink)
    timer.start()
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    timer.join()


@pytest.mark.usefixtures("quick")
def test_the_holder_renews_its_lock(path: Path) -> None:
    with locked(path):
        first = json.loads(path.read_text())
        deadline = time.monotonic() + 30
        while json.loads(path.read_text())["beat"] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert {**json.loads(path.read_text()), "beat": 0} == first
    threads = {thread.name for thread in threading.enumerate()}
    assert "heartbeat" not in threads


def test_a_holder_that_was_taken_for_dead_ends_at_once(path: Path) -> None:
    program = HOLD.replace("with locked", "import tunebox.records.lock as lock\nwith locked")
    program = program.replace("with locked", "lock._BEAT_SECONDS = 0.05\nwith locked")
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    beside = path.with_name("new")
    taken = on_another_host(beside)
    beside.replace(path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == (
        f"error: {path} was taken over by process 12 on host elsewhere since 2026-01-02T03:04:05\n"
    )
    assert json.loads(path.read_text()) == taken


def test_a_lock_of_a_newer_version_is_one_line(path: Path) -> None:
    on_another_host(path, format=2)
    expected = "lock has format 2, made by a newer tunebox; update tunebox"
    with pytest.raises(RecordsError, match=expected), locked(path):
        pass


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 3}', "[" * 100_000])
def test_a_damaged_lock_is_taken_over(path: Path, content: str) -> None:
    path.write_text(content)
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_where_the_file_system_has_no_locks_the_process_is_looked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(file: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = {"host": socket.gethostname(), "since": "today"}
    path.write_text(json.dumps({**here, "pid": os.getppid()}))
    with pytest.raises(RecordsError, match=f"in use by process {os.getppid()}"), locked(path):
        pass
    for gone in ({"pid": ended.pid}, {"pid": os.getppid(), "started": 1}, {"pid": 10**30}):
        path.write_text(json.dumps({**here, **gone}))
        with locked(path):
            pass


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="cannot be written"), locked(tmp_path / "a" / "lock"):
        pass

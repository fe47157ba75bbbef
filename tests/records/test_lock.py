from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tunebox.errors import RecordsError
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


def test_the_second_is_refused_with_the_first_by_name(path: Path) -> None:
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


def test_it_is_let_go_of_after_an_error_too(path: Path) -> None:
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


def test_a_lock_of_another_host_says_how_to_remove_it(path: Path) -> None:
    path.write_text(json.dumps({"host": "elsewhere", "pid": 12, "since": "2026-01-02T03:04:05"}))
    expected = f"process 12 on host elsewhere since 2026-01-02T03:04:05.*remove {path}"
    with pytest.raises(RecordsError, match=expected), locked(path):
        pass
    path.unlink()
    with locked(path):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 3}'])
def test_a_damaged_lock_is_no_stack_trace(path: Path, content: str) -> None:
    path.write_text(content)
    if "host" in content:
        with pytest.raises(RecordsError, match="host 3"), locked(path):
            pass
    else:
        with locked(path):
            pass


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
    path.write_text(json.dumps({**here, "pid": ended.pid}))
    with locked(path):
        pass


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="cannot be written"), locked(tmp_path / "a" / "lock"):
        pass

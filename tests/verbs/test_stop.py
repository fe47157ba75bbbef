from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import run_tunebox
from tests.faults.search_process import SearchProcess, wait_until
from tunebox.errors import RecordsError
from tunebox.records.lock import locked
from tunebox.records.search_folder import SearchFolder
from tunebox.verbs.stop import stop_search

# holds the lock of a search until Ctrl-C, and lets go of it a while later
HOLD = """
import signal, sys, time
from pathlib import Path
from tunebox.records.lock import locked
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run unattended
with locked(Path(sys.argv[1])):
    try:
        print("held", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)
        print("ended", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return SearchFolder(tmp_path)


def test_it_returns_when_the_search_has_ended(folder: SearchFolder) -> None:
    command = [sys.executable, "-c", HOLD, str(folder.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        stop_search(folder)
        assert not folder.lock.exists()
        assert process.stdout.readline() == "ended\n"
        assert process.wait() == 0


def test_a_search_that_does_not_run_is_one_line(folder: SearchFolder) -> None:
    with pytest.raises(RecordsError, match="does not run: nothing to stop"):
        stop_search(folder)


def test_a_lock_that_a_dead_process_left_is_no_search(folder: SearchFolder) -> None:
    command = [sys.executable, "-c", HOLD, str(folder.lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert folder.lock.exists()
    with pytest.raises(RecordsError, match="does not run"):
        stop_search(folder)


def test_a_search_of_another_host_is_left_alone(folder: SearchFolder) -> None:
    with locked(folder.lock):
        held = json.loads(folder.lock.read_bytes())
        folder.lock.write_text(json.dumps({**held, "host": f"not-{socket.gethostname()}"}))
        with pytest.raises(RecordsError, match=r"runs on host not-.*; type the same"):
            stop_search(folder)
        folder.lock.write_text(json.dumps(held))


@pytest.mark.slow
def test_a_real_search_is_stopped_and_can_be_resumed(tmp_path: Path) -> None:
    search = SearchProcess(tmp_path, "--address", "local", "--trials", "1000")
    search.start()
    wait_until(lambda: search.count("reported") > 2, "reports")
    done = run_tunebox("stop", "s", "--out", search.out, cwd=tmp_path)
    out = f"--out {search.out}"
    assert done.stdout == f"s has ended; continue it with: tunebox search --resume s {out}\n"
    assert (done.returncode, done.stderr) == (0, "")
    code, printed, _ = search.finish()
    assert code == 130
    assert f"tunebox search --resume s {out}" in printed

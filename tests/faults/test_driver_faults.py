"""The process that runs a search dies; `--resume` ends the search as if nothing had happened."""

from __future__ import annotations

import random
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.faults.check_records import check_records, check_weights, parent_run
from tests.faults.search_process import SearchProcess, outcome, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_killed_three_times_it_ends_as_if_undisturbed(
    tmp_path: Path, ray_address: str, undisturbed: SearchProcess
) -> None:
    """With the last kill the journal loses its end, and the checkpoints of a trial are damaged."""
    search = SearchProcess(tmp_path, "--address", ray_address)
    generator = random.Random(5)
    epochs = [event["epoch"] for event in undisturbed.events("reported")]
    between_rungs = [number for number, epoch in enumerate(epochs, start=1) if epoch in (3, 5)]
    last_moment = between_rungs[len(between_rungs) // 2]
    moments = sorted(generator.sample(range(1, last_moment), 3))
    for number, moment in enumerate(moments):
        search.start()
        search.wait_for("search_started", number + 1)
        search.wait_for("reported", moment)
        if moment == moments[-1]:
            stop_between_rungs(search)
        else:
            time.sleep(generator.uniform(0, 0.3))
        search.kill()
    damaged = search.spare_checkpoints()
    assert damaged
    for checkpoint in damaged:
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with (search.folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"event": "rep')
    search.start()
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (0, ""), stdout
    for checkpoint in damaged:
        assert f"trial {checkpoint.parent.name}: {checkpoint.name} is skipped: " in stdout
    assert "journal.jsonl: the last 14 bytes are damaged and were cut off" in stdout
    assert outcome(search.folder) == outcome(undisturbed.folder)
    check_records(search.folder, search.tracking_uri)
    check_weights(search.folder)
    assert search.count("search_started") == 4


def stop_between_rungs(search: SearchProcess) -> None:
    """Stop the driver when a trial has checkpoints that only a resume needs."""
    process = search.process
    assert process is not None

    def is_there() -> bool:
        assert process.poll() is None, "the search ended before a trial was between two rungs"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)  # it may be in the middle of a line
        if search.spare_checkpoints():
            return True
        process.send_signal(signal.SIGCONT)
        return False

    wait_until(is_there, "trial between two rungs")
    time.sleep(1)  # the worker writes what it is about to write


def test_two_drivers_then_ctrl_c_then_more_trials(
    tmp_path: Path, ray_address: str, undisturbed: SearchProcess
) -> None:
    search = SearchProcess(tmp_path, "--address", ray_address)
    first = search.start("--trials", "8")
    num_reports = sum(event["trial"] < "0008" for event in undisturbed.events("reported"))
    who = rf"process {first.pid} on host {re.escape(socket.gethostname())} since 20\S+"
    search.wait_for("reported", num_reports // 2)
    first.send_signal(signal.SIGSTOP)  # or it may be over before the second has started
    second = SearchProcess(tmp_path, "--address", ray_address)
    second.start()
    code, _, stderr = second.finish()
    assert code == 2
    refusal = rf"error: .*/s is in use by {who}; wait for its end, or end it\n"
    assert re.fullmatch(refusal, stderr)
    first.send_signal(signal.SIGINT)
    first.send_signal(signal.SIGCONT)
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (130, "")
    assert "tunebox search --resume s --out" in stdout
    check_records(search.folder, search.tracking_uri, "KILLED")
    parent = parent_run(search.folder, search.tracking_uri).info.run_id

    search.start("--trials", "1")
    code, _, stderr = search.finish()
    assert code == 2
    assert stderr.startswith("error: --trials 1: the search has ")
    search.start("--trials", "10")
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (0, ""), stdout
    assert outcome(search.folder) == outcome(undisturbed.folder)
    check_records(search.folder, search.tracking_uri)
    assert parent_run(search.folder, search.tracking_uri).info.run_id == parent

    search.start()  # nothing is left to do
    code, stdout, stderr = search.finish()
    assert (code, stderr) == (0, ""), stdout
    assert "Ray" not in stdout
    assert outcome(search.folder) == outcome(undisturbed.folder)
    check_records(search.folder, search.tracking_uri)

"""A proxy that is of no use, and a clock that is set: the search goes on as if they were right."""

from __future__ import annotations

import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import shifted_clock
from tests.faults.check_records import check_records, check_weights
from tests.faults.search_process import SearchProcess, outcome
from tests.faults.silent_proxy import silent_proxy
from tunebox.records.journal import read_journal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CHECKOUT = Path(__file__).parents[2]


def test_no_call_for_this_machine_asks_the_proxy(
    tmp_path: Path, ray_address: str, undisturbed: SearchProcess
) -> None:
    """Whether it refuses at once, as until a Ctrl-C, or answers nothing, as after it."""
    search = SearchProcess(tmp_path, "--address", ray_address)
    with silent_proxy(swallows=False) as proxy:
        search.variables = proxy.variables
        process = search.start()
        search.wait_for("reported", 5)
        process.send_signal(signal.SIGINT)
        code, stdout, stderr = search.finish()
        assert (code, stderr) == (130, ""), stdout
        assert proxy.asked_for_this_machine() == []
    with silent_proxy(swallows=True) as proxy:
        search.variables = proxy.variables
        search.start()
        code, stdout, stderr = search.finish(240)
        assert (code, stderr) == (0, ""), stdout
        assert proxy.asked_for_this_machine() == []
    check_records(search.folder, search.tracking_uri)
    assert outcome(search.folder) == outcome(undisturbed.folder)


def test_a_clock_that_is_set_again_and_again(tmp_path: Path) -> None:
    """In a search, and between two processes of it."""
    clock = tmp_path / "clock"
    search = SearchProcess(tmp_path, "--address", "none")
    search.module = shifted_clock.__name__
    search.variables = {shifted_clock.VARIABLE: str(clock), "PYTHONPATH": str(CHECKOUT)}
    search.start()
    for number, shift in enumerate([30 * 86_400, -3600, 60]):
        search.wait_for("reported", 3 + 4 * number)
        clock.write_text(str(shift), encoding="ascii")
    search.kill()
    clock.write_text("-86400", encoding="ascii")
    search.start()
    code, stdout, stderr = search.finish(240)
    assert code == 0, stdout + stderr
    assert "s behind the last event of the search" in stdout
    check_records(search.folder, search.tracking_uri)
    check_weights(search.folder)
    times = [
        event.time
        for event in read_journal(search.folder / "journal.jsonl").events
        if hasattr(event, "time")
    ]
    assert times == sorted(times)
    for row in pq.read_table(search.folder / "trials.parquet").to_pylist():
        assert 0 <= (row["end_time"] - row["start_time"]).total_seconds() < 300

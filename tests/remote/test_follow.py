"""A journal that grows, read through a connection that is cut again and again."""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from tests.records.make_log import make_log, make_spec
from tests.remote.here import HereHead
from tunebox.decisions.events import (
    Ended,
    Observer,
    Paused,
    Planned,
    Reported,
    SearchStarted,
    Started,
    apply_to_log,
)
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.records.journal import JournalWriter, read_journal
from tunebox.remote.follow import Follower
from tunebox.remote.remote_search import RemoteSearch
from tunebox.remote.retry import Retry
from tunebox.reports.progress import SearchProgress
from tunebox.spec.write import search_yaml


@pytest.fixture
def search(tmp_path: Path) -> RemoteSearch:
    """A search that is about to begin."""
    (tmp_path / "search.yaml").write_text(search_yaml(make_spec()), encoding="utf-8")
    return RemoteSearch(HereHead(), "s", str(tmp_path))


@pytest.fixture
def driver() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


class Written:
    """Writes a log into a journal, as a search does."""

    def __init__(self, path: Path, log: TrialLog) -> None:
        self.writer = JournalWriter(path, "s")
        self.writer.on(SearchStarted(1.0, "host", 1))
        self.trials = list(log.trials.values())

    def write(self, first: int, last: int) -> None:
        for trial in self.trials[first:last]:
            trial_id = trial.trial_id
            self.writer.on(Planned(trial_id, trial.settings))
            self.writer.on(Started(trial_id, trial.start_time))
            for report in trial.history:
                self.writer.on(Reported(trial_id, report, trial.node))
            if trial.state is TrialState.PAUSED:
                self.writer.on(Paused(trial_id, 2.0))
            elif trial.state is not TrialState.RUNNING:
                end = trial.end_time or 0.0
                self.writer.on(Ended(trial_id, trial.state, trial.reason, end))


def test_a_log_is_what_its_journal_says(tmp_path: Path) -> None:
    log = make_log(14, objectives=make_spec().objective_set)
    Written(tmp_path / "journal.jsonl", log).write(0, 14)
    found = TrialLog(log.objectives)
    for event in read_journal(tmp_path / "journal.jsonl").events:
        apply_to_log(found, event)
    assert list(found.trials) == list(log.trials)
    for trial_id, trial in log.trials.items():
        other = found.trials[trial_id]
        assert (other.settings, other.state) == (trial.settings, trial.state)
        assert other.history == trial.history
    assert [t.trial_id for t in found.front()] == [t.trial_id for t in log.front()]


def test_every_line_is_read_once_over_cuts(
    search: RemoteSearch, driver: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunebox.reports.progress._PLAIN_LINE_SECONDS", 0.0)
    log = make_log(40, objectives=make_spec().objective_set)
    journal = Written(Path(search.folder) / "journal.jsonl", log)
    journal.write(0, 10)  # past, when the laptop begins to watch
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    follower = Follower(search, partial(SearchProgress, console), Retry(console.print))
    thread = threading.Thread(target=follower.run, args=(driver.pid,))
    thread.start()
    head = search.head
    assert isinstance(head, HereHead)
    for cut in range(3):
        wait_for_stream(head, cut + 1)
        journal.write(10 + 10 * cut, 15 + 10 * cut)
        head.streams[-1].kill()
        journal.write(15 + 10 * cut, 20 + 10 * cut)  # nobody reads
    wait_for_stream(head, 4)
    driver.kill()
    driver.wait()  # a process that nobody waits for is still there
    thread.join(60)
    assert not thread.is_alive()
    last = printed.getvalue().splitlines()[-1]
    pattern = r"s: .* trials; (\d+) epochs, front (\d+), hypervolume (\S+), .*"
    found = re.fullmatch(pattern, last)
    assert found is not None, last
    assert int(found[1]) == log.epochs_spent
    assert int(found[2]) == len(log.front())
    assert found[3] == f"{log.hypervolume():.4f}"
    assert "connection lost; the cluster goes on" in printed.getvalue()
    assert follower._offset == (Path(search.folder) / "journal.jsonl").stat().st_size


def test_a_flipped_bit_costs_a_line_which_is_said_once(search: RemoteSearch) -> None:
    log = make_log(14, objectives=make_spec().objective_set)
    path = Path(search.folder) / "journal.jsonl"
    Written(path, log).write(0, 14)
    content, generator = path.read_bytes(), random.Random(0)
    for _ in range(150):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content) - 1)] ^= 1 << generator.randrange(8)
        lines: list[str] = []
        follower = Follower(search, lambda *_: Observer(), Retry(lines.append))
        found = TrialLog(log.objectives)
        follower._read_events(bytes(flipped), found, Observer())
        for trial_id, trial in found.trials.items():
            assert trial.settings == log.trials[trial_id].settings
            assert all(report in log.trials[trial_id].history for report in trial.history)
        [line] = lines
        assert "which is left out here" in line


def wait_for_stream(head: HereHead, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(head.streams) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)

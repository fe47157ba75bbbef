"""A journal that grows, read through a connection that is cut again and again."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.cluster.here import HereHead
from tests.records.make_log import make_log, make_spec
from tunebox.cluster.follow import Follower, ToldLog
from tunebox.cluster.patience import Patience
from tunebox.cluster.site import RemoteSearch
from tunebox.records.journal import JournalWriter, read_journal
from tunebox.spec.write import search_yaml
from tunebox.trials import SearchObserver, TrialLog, TrialState


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


class Told(SearchObserver):
    """Writes a log into a journal, as a search does."""

    def __init__(self, path: Path, log: TrialLog) -> None:
        self.writer = JournalWriter(path, "s")
        self.writer.search_started(TrialLog(log.objectives))
        self.trials = list(log.trials.values())

    def tell(self, first: int, last: int) -> None:
        for trial in self.trials[first:last]:
            self.writer.trial_planned(trial.trial_id, trial.settings)
            self.writer.trial_started(trial)
            for report in trial.history:
                self.writer.trial_reported(trial, report)
            if trial.state is not TrialState.RUNNING:
                self.writer.trial_ended(trial)


def test_the_log_is_what_the_journal_tells(tmp_path: Path) -> None:
    log = make_log(12, objectives=make_spec().objective_set)
    told = Told(tmp_path / "journal.jsonl", log)
    told.tell(0, 12)
    heard = ToldLog(make_spec())
    for event in read_journal(tmp_path / "journal.jsonl").events:
        heard.hear(event, SearchObserver())
    assert list(heard.log.trials) == list(log.trials)
    for trial_id, trial in log.trials.items():
        other = heard.log.trials[trial_id]
        assert (other.settings, other.state) == (trial.settings, trial.state)
        assert other.history == trial.history
    assert [t.trial_id for t in heard.log.front()] == [t.trial_id for t in log.front()]


def test_every_line_is_heard_once_over_cuts(
    search: RemoteSearch, driver: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunebox.progress._PLAIN_LINE_SECONDS", 0.0)
    log = make_log(40, objectives=make_spec().objective_set)
    told = Told(Path(search.folder) / "journal.jsonl", log)
    told.tell(0, 10)  # past, when the laptop begins to watch
    printed = io.StringIO()
    console = Console(file=printed, width=200)
    follower = Follower(search, console, Patience(console))
    thread = threading.Thread(target=follower.run, args=(driver.pid,))
    thread.start()
    head = search.head
    assert isinstance(head, HereHead)
    for cut in range(3):
        wait_for_stream(head, cut + 1)
        told.tell(10 + 10 * cut, 15 + 10 * cut)
        head.streams[-1].kill()
        told.tell(15 + 10 * cut, 20 + 10 * cut)  # nobody listens
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


def wait_for_stream(head: HereHead, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(head.streams) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)

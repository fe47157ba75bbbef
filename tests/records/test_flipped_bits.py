"""A bit that flips in a file of a search changes no value unnoticed, in whichever byte it is."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.records.made_search import MadeSearch
from tests.records.make_log import make_log, make_spec
from tests.records.test_run_end import END
from tunebox.decisions.events import Event, Observer, SearchEnded, SearchStarted
from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError, TuneboxError
from tunebox.records.journal import JournalWriter, read_journal
from tunebox.records.run_end import read_run_end, write_run_end
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.table_file import DamagedTable, read_table
from tunebox.records.table_writer import TableWriter
from tunebox.records.trial_tables import mend_tables, read_front, read_log
from tunebox.records.warm_start import keep_trials, kept_trials
from tunebox.spec.load import load_spec

FLIPS = 300  # a file
TABLES = ("trials.parquet", "history.parquet", "front.parquet")


class Both(Observer):
    """Journal and tables."""

    def __init__(self, folder: SearchFolder, log: TrialLog) -> None:
        self.observers: list[Observer] = [JournalWriter(folder.journal, folder.name)]
        self.observers.append(TableWriter(folder, make_spec(), log))

    def on(self, event: Event) -> None:
        for observer in self.observers:
            observer.on(event)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> SearchFolder:
    """A search that has ended."""
    folder = create_folder(tmp_path_factory.mktemp("out"), "made-1")
    search = MadeSearch()
    search.log.objectives = make_spec().objective_set
    for coming in search.waiting:
        coming.trial.checkpoint = None
    records = Both(folder, search.log)
    records.on(SearchStarted(0.0, "host", 1))
    search.run(records)
    records.on(SearchEnded(1.0, interrupted=False))
    write_run_end(folder.run_end, END)
    keep_trials(list(make_log(12, seed=1).trials.values()), folder.warm_start)
    return folder


@pytest.fixture
def folder(whole: SearchFolder, tmp_path: Path) -> SearchFolder:
    """A copy of it."""
    shutil.copytree(whole.root, tmp_path / "made-1")
    return SearchFolder(tmp_path / "made-1")


def flips(path: Path, number: int = FLIPS) -> Iterator[bytes]:
    """Flip one bit of the file at a time, anywhere in it; yield what it has become."""
    content, generator = path.read_bytes(), random.Random(path.name)
    for _ in range(number):
        flipped = bytearray(content)
        flipped[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        yield bytes(flipped)
    path.write_bytes(content)


def assert_one_line(error: Exception, words: str) -> None:
    assert words in str(error)
    assert "\n" not in str(error)


READERS: dict[str, Callable[[SearchFolder], Any]] = {
    "search.yaml": lambda folder: load_spec(str(folder.search_file)).source.data,
    "end.json": lambda folder: read_run_end(folder.run_end),
    "warm_start.json": lambda folder: kept_trials(folder.warm_start),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_is_as_it_was_or_one_line_says_that_it_is_not(
    folder: SearchFolder, name: str
) -> None:
    read = READERS[name]
    expected, num_refused = read(folder), 0
    for _ in flips(folder.root / name):
        try:
            assert read(folder) == expected
        except TuneboxError as error:
            num_refused += 1
            assert_one_line(error, name)
    assert num_refused > FLIPS / 2


def test_a_journal_is_read_up_to_the_damage_or_not_at_all(folder: SearchFolder) -> None:
    events, num_refused = read_journal(folder.journal).events, 0
    for content in flips(folder.journal):
        try:
            journal = read_journal(folder.journal)
        except RecordsError:
            num_refused += 1
        else:  # it is in the last lines
            assert journal.warning is not None
            assert journal.events == events[: content[: journal.size].count(b"\n") - 1]
            assert len(journal.events) < len(events)
    assert num_refused > 0.9 * FLIPS


def test_a_bit_in_the_last_line_costs_that_line(folder: SearchFolder) -> None:
    whole, events = folder.journal.read_bytes(), read_journal(folder.journal).events
    start = whole[:-1].rindex(b"\n") + 1
    for place in range(start, len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        folder.journal.write_bytes(flipped)
        journal = read_journal(folder.journal)
        assert journal.events == events[:-1]
        assert journal.warning is not None


@pytest.mark.parametrize("name", TABLES)
def test_a_flipped_bit_in_a_table_is_found_wherever_it_is(folder: SearchFolder, name: str) -> None:
    path = folder.root / name
    expected, num_damaged = pq.read_table(path), 0
    for _ in flips(path):
        try:
            table, has_checksum = read_table(path)
        except DamagedTable:
            num_damaged += 1
        else:  # it is in the name of the checksum, which the format of the table asks for
            assert table.equals(expected, check_metadata=True)
            assert not has_checksum
    assert num_damaged > 0.98 * FLIPS


@pytest.mark.parametrize("name", TABLES)
def test_a_damaged_table_is_made_anew_and_a_line_says_so(
    folder: SearchFolder, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    read = read_front if name == "front.parquet" else read_log
    whole, trials, front = (folder.root / name).read_bytes(), read_log(folder), read_front(folder)
    for _ in flips(folder.root / name, 20):
        caplog.clear()
        read(folder)
        [line] = caplog.messages
        assert f"{name} cannot be read" in line
        assert line.endswith("the tables of the search were made anew from its journal")
        assert (folder.root / name).read_bytes() == whole
        assert read_log(folder).trials == trials.trials
        assert read_front(folder).equals(front, check_metadata=True)
        assert len(caplog.messages) == 1


@pytest.mark.parametrize("name", TABLES)
def test_without_a_journal_a_damaged_table_is_one_line(folder: SearchFolder, name: str) -> None:
    read = read_front if name == "front.parquet" else read_log
    folder.journal.unlink()
    for _ in flips(folder.root / name, 30):
        with pytest.raises(RecordsError, match="nor can it be made anew") as caught:
            read(folder)
        assert_one_line(caught.value, f"{name} cannot be read")


def test_a_table_that_is_lost_is_made_anew(folder: SearchFolder) -> None:
    trials = read_log(folder).trials
    for name in TABLES[:2]:
        (folder.root / name).unlink()
        assert read_log(folder).trials == trials
        assert (folder.root / name).exists()


def test_tables_are_mended_where_the_trials_are_known(
    folder: SearchFolder, caplog: pytest.LogCaptureFixture
) -> None:
    log, leaves = read_log(folder), make_spec().space.leaves
    before = {name: (folder.root / name).read_bytes() for name in TABLES}
    mend_tables(folder, log, leaves)
    assert caplog.messages == []
    for name in TABLES:
        (folder.root / name).write_bytes(before[name][:-9] + b"x" + before[name][-8:])
        mend_tables(folder, log, leaves)
        assert (folder.root / name).read_bytes() == before[name]
    assert len(caplog.messages) == len(TABLES)

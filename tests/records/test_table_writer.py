from pathlib import Path

import pytest

from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tunebox.decisions.events import SearchEnded, SearchStarted
from tunebox.decisions.trials import TrialLog
from tunebox.records import table_writer
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.table_writer import TableWriter
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec

FILES = {"search.yaml", "trials.parquet", "history.parquet", "front.parquet"}


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "made-1")


def recorded(folder: SearchFolder, seed: int = 0) -> tuple[TableWriter, TrialLog]:
    """Record a whole search."""
    search = MadeSearch(seed=seed)
    writer = TableWriter(folder, make_spec(), search.log)
    writer.on(SearchStarted(0.0, "host", 1))
    search.run(writer)
    writer.on(SearchEnded(1.0, interrupted=False))
    return writer, search.log


def test_everything_is_in_the_folder(folder: SearchFolder) -> None:
    writer, log = recorded(folder, seed=1)
    assert writer.warnings == []
    assert {path.name for path in folder.root.iterdir()} == FILES
    assert read_log(folder).trials == log.trials
    assert load_spec(str(folder.search_file)).space.leaves == make_spec().space.leaves
    assert [path.name for path in folder.root.parent.iterdir()] == ["made-1"]


def test_the_tables_are_not_written_at_every_report(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    monkeypatch.setattr(
        table_writer, "write_tables", lambda _, log, __: writes.append(len(log.trials))
    )
    recorded(folder)
    assert writes == [0, 24]


def test_a_full_disk_does_not_end_the_search(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_writer, "write_tables", full)
    writer, _ = recorded(folder)
    assert len(writer.warnings) == 1
    assert "No space left on device" in writer.warnings[0]

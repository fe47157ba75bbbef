"""A store that is deleted, emptied or replaced while a search runs gets all again."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.faults.check_records import check_records
from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tests.tracking.recorder import Recorder, ended
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.tracking import delivery
from tunebox.tracking.store_file import StoreFile
from tunebox.tracking.sync import sync_search

MakeStore = Callable[[Path], str]


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "s-1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(delivery, "_SEND_PAUSE", 0.05)


def delete(path: Path, _: Path) -> None:
    path.unlink()


def empty(path: Path, _: Path) -> None:
    os.truncate(path, 0)


def replace(path: Path, empty_store: Path) -> None:
    """As from a backup."""
    shutil.copy(empty_store, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


def empty_the_tables(path: Path, _: Path) -> None:
    """The file stays, as behind a server that was set up anew."""
    with closing(sqlite3.connect(path, timeout=30)) as store:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            store.execute(f"DELETE FROM {table}")
        store.execute("DELETE FROM experiments WHERE name = 'tunebox'")
        store.commit()


LOSSES = [delete, empty, replace, empty_the_tables]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("is_at_the_end", [False, True])
def test_all_is_sent_again(
    folder: SearchFolder,
    make_store: MakeStore,
    empty_store: Path,
    lose: Callable[[Path, Path], None],
    is_at_the_end: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    uri = make_store(folder.root.parent)
    search = MadeSearch(12)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder, None if is_at_the_end else 30)
    recorder.wait_until_sent()
    lose(folder.root.parent / "mlflow.db", empty_store)
    search.run(recorder, 0 if is_at_the_end else None)
    recorder.search_ended(interrupted=False)
    check_records(folder.root, uri)
    assert "was deleted, emptied or replaced: what it lacks" in caplog.text
    assert "trying again" not in caplog.text
    assert recorder.warnings == [
        f"MLflow at {uri} has none of the runs of this search any more: all is sent again; "
        "for other searches that were in it, run tunebox sync NAME"
    ]
    again = sync_search(folder, make_spec(), search.log, ended(), uri)
    assert (again.num_delivered, again.warnings) == (0, [])


def test_a_store_that_is_deleted_between_two_searches_of_a_program_is_made_anew(
    tmp_path: Path, make_store: MakeStore
) -> None:
    uri = make_store(tmp_path / "out")
    for number in range(2):
        folder = create_folder(tmp_path / "out", f"s-{number}")
        search = MadeSearch(3)
        recorder = Recorder(folder, uri, search.log)
        recorder.search_started()
        search.run(recorder)
        recorder.search_ended(interrupted=False)
        assert recorder.warnings == []
        check_records(folder.root, uri)
        (tmp_path / "out" / "mlflow.db").unlink()


def test_runs_of_trials_whose_search_is_gone_are_sent_again(
    folder: SearchFolder, make_store: MakeStore
) -> None:
    uri = make_store(folder.root.parent)
    search = MadeSearch(6)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder)
    recorder.search_ended(interrupted=False)
    with closing(sqlite3.connect(folder.root.parent / "mlflow.db")) as store:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            named = "(SELECT run_uuid FROM runs WHERE name = 's-1')"
            store.execute(f"DELETE FROM {table} WHERE run_uuid IN {named}")
        store.commit()
    result = sync_search(folder, make_spec(), search.log, ended(), uri)
    assert (result.num_waiting, result.error, len(result.warnings)) == (0, None, 1)
    check_records(folder.root, uri)
    assert len(MlflowClient(tracking_uri=uri).search_runs(["1"])) == 7


def test_the_file_of_a_store_is_watched(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    path.write_bytes(b"a")
    assert not StoreFile("http://host:1").is_lost
    file = StoreFile(f"sqlite:///{path}")
    path.write_bytes(b"more")
    assert not file.is_lost
    path.rename(tmp_path / "away")
    assert file.is_lost
    path.write_bytes(b"other")
    assert file.is_lost
    (tmp_path / "away").rename(path)
    assert not file.is_lost
    path.write_bytes(b"")
    assert file.is_lost

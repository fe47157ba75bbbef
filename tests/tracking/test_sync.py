from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

import tunebox
from tests.command_line import free_port, trial_name
from tests.faults.check_records import check_records, check_trials_in_mlflow
from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tests.tracking.recorder import Recorder, ended
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.errors import RecordsError
from tunebox.records.lock import locked
from tunebox.records.run_end import write_run_end
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.tracking import delivery
from tunebox.tracking.cursor import Cursor
from tunebox.tracking.sync import search_tracking_uri, sync_search

MakeStore = Callable[[Path], str]


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "s-1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.001)


def leave_waiting(folder: SearchFolder, uri: str, *, killed: bool = False) -> TrialLog:
    """Let a search deliver its first trials to ``uri`` and end before it delivers the others."""
    search = MadeSearch(6)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder, 8)
    recorder.wait_until_sent()
    recorder.die()
    if killed:
        search.run(recorder, 12)
        recorder.tables.write()
    else:
        search.run(recorder)
        recorder.search_ended(interrupted=False)
    return search.log


def runs_in(uri: str) -> dict[str, Any]:
    """What the runs of a store have, by their names, without the versions that made them."""
    found = {}
    for run in MlflowClient(tracking_uri=uri).search_runs(["1"]):
        tags = {
            name: tag
            for name, tag in run.data.tags.items()
            if name.startswith("tunebox.") and "version" not in name
        }
        found[trial_name(run)] = (run.info.status, run.data.params, run.data.metrics, tags)
    return found


def test_what_waits_is_delivered_once(folder: SearchFolder, make_store: MakeStore) -> None:
    uri = make_store(folder.root.parent)
    log = leave_waiting(folder, uri)
    result = sync_search(folder, make_spec(), log, ended(), search_tracking_uri(folder, None))
    assert result.num_delivered > 10
    assert (result.num_waiting, result.error) == (0, None)
    assert result.tracking_uri == uri
    check_records(folder.root, uri)
    again = sync_search(folder, make_spec(), log, ended(), uri)
    assert (again.num_delivered, again.num_waiting) == (0, 0)
    check_records(folder.root, uri)


def test_of_a_killed_search_all_that_the_journal_has_is_delivered(
    folder: SearchFolder, make_store: MakeStore
) -> None:
    uri = make_store(folder.root.parent)
    log = leave_waiting(folder, uri, killed=True)
    running = [trial for trial in log.trials.values() if trial.state is TrialState.RUNNING]
    for trial in running:  # as the reader of the journal leaves them
        trial.state = TrialState.INTERRUPTED
    assert running
    sync_search(folder, make_spec(), log, None, uri)
    runs = MlflowClient(tracking_uri=uri).search_runs(["1"])
    found = {trial_name(run): run.info.status for run in runs}
    assert found.pop("s-1") == "KILLED"
    assert found.keys() == log.trials.keys()
    assert {found[trial.trial_id] for trial in running} == {"KILLED"}


def test_searches_that_moved_find_their_store(
    folder: SearchFolder, tmp_path: Path, make_store: MakeStore
) -> None:
    log = leave_waiting(folder, make_store(folder.root.parent))
    folder.root.parent.rename(tmp_path / "moved")
    moved = SearchFolder(tmp_path / "moved" / "s-1")
    assert str(tmp_path) not in moved.mlflow.read_text(encoding="utf-8")
    uri = search_tracking_uri(moved, None)
    assert uri == f"sqlite:///{tmp_path}/moved/mlflow.db"
    result = sync_search(moved, make_spec(), log, ended(), uri)
    assert (result.num_waiting, result.error) == (0, None)
    check_trials_in_mlflow(moved.root, uri)


def test_another_store_gets_nothing_and_nothing_is_lost(
    folder: SearchFolder, tmp_path: Path, make_store: MakeStore
) -> None:
    uri, other = make_store(folder.root.parent), make_store(tmp_path / "other")
    log = leave_waiting(folder, uri)
    result = sync_search(folder, make_spec(), log, ended(), other)
    assert (result.num_delivered, result.refusals) == (0, [])
    assert result.num_waiting
    assert result.error is not None
    assert f"the runs of this search were made in {uri}, which --tracking-uri" in result.error
    assert list(MlflowClient(tracking_uri=other).search_runs(["1"])) == []
    assert sync_search(folder, make_spec(), log, ended(), uri).num_waiting == 0
    check_records(folder.root, uri)


def test_a_store_that_lost_all_gets_all_again(folder: SearchFolder, make_store: MakeStore) -> None:
    uri = make_store(folder.root.parent)
    log = leave_waiting(folder, uri)
    first = sync_search(folder, make_spec(), log, ended(), uri)
    assert first.warnings == []
    before = runs_in(uri)
    make_store(folder.root.parent)  # in its place
    result = sync_search(folder, make_spec(), log, ended(), uri)
    assert result.num_delivered > first.num_delivered
    assert (result.num_waiting, result.error) == (0, None)
    assert result.warnings == [
        f"MLflow at {uri} has none of the runs of this search any more: all is sent again; "
        "for other searches that were in it, run tunebox sync NAME"
    ]
    assert runs_in(uri) == before
    check_records(folder.root, uri)
    again = sync_search(folder, make_spec(), log, ended(), uri)
    assert (again.num_delivered, again.warnings) == (0, [])


def test_another_store_is_an_error_even_if_nothing_waits(
    folder: SearchFolder, tmp_path: Path, make_store: MakeStore
) -> None:
    uri, other = make_store(folder.root.parent), make_store(tmp_path / "other")
    log = leave_waiting(folder, uri)
    assert sync_search(folder, make_spec(), log, ended(), uri).error is None
    result = sync_search(folder, make_spec(), log, ended(), other)
    assert result.num_delivered == 0
    assert result.error is not None
    assert f"the runs of this search were made in {uri}" in result.error
    assert list(MlflowClient(tracking_uri=other).search_runs(["1"])) == []


def test_a_search_whose_run_is_deleted_is_not_sent_again(
    folder: SearchFolder, make_store: MakeStore
) -> None:
    uri = make_store(folder.root.parent)
    log = leave_waiting(folder, uri)
    client = MlflowClient(tracking_uri=uri)
    for run in client.search_runs(["1"]):
        client.delete_run(run.info.run_id)
    result = sync_search(folder, make_spec(), log, ended(), uri)
    assert "all is sent again" not in "".join(result.warnings)
    assert not {trial_name(run) for run in client.search_runs(["1"])} & {"s-1", "t000"}


def test_a_server_that_is_away_is_told_without_the_password(folder: SearchFolder) -> None:
    folder.journal.touch()
    address = f"127.0.0.1:{free_port()}"
    uri, log = f"http://me:secret@{address}", MadeSearch(1).log
    result = sync_search(folder, make_spec(), log, None, uri)
    assert result.num_delivered == 0
    assert result.num_waiting
    assert result.tracking_uri == f"http://{address}"
    assert result.error == "nothing listens there (Connection refused): start the server"


def test_what_cannot_be_synced_is_one_clear_line(folder: SearchFolder) -> None:
    folder.search_file.touch()
    out = str(folder.root.parent)
    with pytest.raises(RecordsError, match=r"journal\.jsonl cannot be read"):
        tunebox.sync("s-1", out=out)
    with locked(folder.lock), pytest.raises(RecordsError, match="is in use by process"):
        tunebox.sync("s-1", out=out)


def test_the_store_of_a_search_is_found_again(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder.root.parent
    assert search_tracking_uri(folder, None) == f"sqlite:///{out}/mlflow.db"
    cursor = Cursor(folder, "http://host:5000")
    cursor.open(has_past=False)
    assert search_tracking_uri(folder, None) == "http://host:5000"
    assert search_tracking_uri(folder, "http://new:1") == "http://new:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another:5000")
    assert search_tracking_uri(folder, None) == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert search_tracking_uri(folder, None) == "http://me:secret@host:5000"


def test_the_store_of_a_search_is_found_where_its_end_is_noted_too(folder: SearchFolder) -> None:
    cursor = Cursor(folder, "http://host:5000")
    cursor.open(has_past=False)
    write_run_end(folder.run_end, replace(ended(), tracking_uri="http://host:5000"))
    content = folder.mlflow.read_bytes()
    folder.mlflow.write_bytes(content.replace(b"host", b"hosd"))
    assert search_tracking_uri(folder, None) == "http://host:5000"
    folder.mlflow.unlink()  # as one does to send all to another store
    assert search_tracking_uri(folder, None) != "http://host:5000"


def test_the_store_of_a_search_of_version_0_1_0_is_found(folder: SearchFolder) -> None:
    line = '{"format": 1, "search_id": "x", "tracking_uri": "http://host:5000"}\n'
    folder.outbox.write_text(line, encoding="utf-8")
    assert search_tracking_uri(folder, None) == "http://host:5000"

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.command_line import free_port
from tests.records.make_log import make_report
from tunebox.errors import RecordsError
from tunebox.records import mlflow_delivery
from tunebox.records.mlflow_operations import EndSearch, LogMetrics, StartTrial
from tunebox.records.mlflow_runs import MlflowRuns
from tunebox.records.outbox import Outbox
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.sync import search_tracking_uri, sync_search
from tunebox.trials import TrialState

MakeStore = Callable[[Path], str]


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "s-1")


def leave_waiting(folder: SearchFolder, uri: str) -> None:
    """Let a search deliver its first trial to ``uri``, and end before it delivers the second."""
    runs = MlflowRuns(uri, folder.root.parent, folder.mlflow_ids, folder.outbox)
    runs.start_search("s-1", {}, {})
    runs.start_trial("a", {"x": 1})
    runs.end_trial("a", TrialState.FINISHED, {})
    assert runs.close() == 0
    box = Outbox(folder.outbox)
    box.add(StartTrial("b", {"x": 2}, {}, 1.0))
    box.add(LogMetrics("b", make_report(1, 0.5, 0.5).metrics, 1, 2.0))
    box.add(EndSearch("KILLED", 3.0))
    box.close()


def names_and_states(uri: str) -> set[tuple[str, str]]:
    runs = MlflowClient(tracking_uri=uri).search_runs(["1"])
    return {(run.info.run_name, run.info.status) for run in runs}


def test_what_waits_is_delivered_once(folder: SearchFolder, make_store: MakeStore) -> None:
    uri = make_store(folder.root.parent)
    leave_waiting(folder, uri)
    result = sync_search(folder, None)
    assert (result.num_delivered, result.num_waiting, result.error) == (3, 0, None)
    assert result.tracking_uri == uri
    assert names_and_states(uri) == {("s-1", "KILLED"), ("a", "FINISHED"), ("b", "RUNNING")}
    assert sync_search(folder, None).num_delivered == 0
    assert len(names_and_states(uri)) == 3


def test_searches_that_moved_find_their_store(
    folder: SearchFolder, tmp_path: Path, make_store: MakeStore
) -> None:
    uri = make_store(folder.root.parent)
    leave_waiting(folder, uri)
    folder.root.parent.rename(tmp_path / "moved")
    moved = SearchFolder(tmp_path / "moved" / "s-1")
    for path in (moved.outbox, moved.mlflow_ids):
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    result = sync_search(moved, None)
    assert (result.num_delivered, result.num_waiting, result.error) == (3, 0, None)
    assert result.tracking_uri == f"sqlite:///{tmp_path}/moved/mlflow.db"
    assert len(names_and_states(result.tracking_uri)) == 3


def test_ids_of_a_newer_version_are_one_line(folder: SearchFolder) -> None:
    folder.mlflow_ids.write_text('{"format": 2, "search_id": "x"}', encoding="utf-8")
    with pytest.raises(RecordsError, match="has format 2, made by a newer tunebox"):
        MlflowRuns("http://host", folder.root.parent, folder.mlflow_ids, folder.outbox)


def test_another_store_gets_nothing_and_nothing_is_lost(
    folder: SearchFolder, tmp_path: Path, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_delivery, "_FIRST_PAUSE", 0.001)
    uri, other = make_store(folder.root.parent), make_store(tmp_path / "other")
    leave_waiting(folder, uri)
    result = sync_search(folder, other)
    assert (result.num_delivered, result.num_waiting, result.refusals) == (0, 3, [])
    assert result.error is not None
    assert f"the runs of this search were made in {uri}, which --tracking-uri" in result.error
    assert names_and_states(other) == set()
    assert sync_search(folder, uri).num_delivered == 3


def test_a_server_that_is_away_is_told_without_the_password(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_delivery, "_FIRST_PAUSE", 0.001)
    box = Outbox(folder.outbox, "http://127.0.0.1:1")
    box.add(EndSearch("KILLED", 3.0))
    box.close()
    address = f"127.0.0.1:{free_port()}"
    result = sync_search(folder, f"http://me:secret@{address}")
    assert (result.num_delivered, result.num_waiting) == (0, 1)
    assert result.tracking_uri == f"http://{address}"
    assert result.error == "[Errno 111] Connection refused"


def test_what_cannot_be_synced_is_one_clear_line(folder: SearchFolder) -> None:
    with pytest.raises(RecordsError, match="is missing: nothing waits for MLflow"):
        sync_search(folder, None)
    box = Outbox(folder.outbox)
    try:
        with pytest.raises(RecordsError, match="another tunebox writes its MLflow runs"):
            sync_search(folder, None)
    finally:
        box.close()


def test_the_store_of_a_search_is_found_again(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder.root.parent
    assert search_tracking_uri(folder, None) == f"sqlite:///{out}/mlflow.db"
    Outbox(folder.outbox, "http://host:5000").close()
    assert search_tracking_uri(folder, None) == "http://host:5000"
    assert search_tracking_uri(folder, "http://new:1") == "http://new:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://another:5000")
    assert search_tracking_uri(folder, None) == "http://host:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    assert search_tracking_uri(folder, None) == "http://me:secret@host:5000"

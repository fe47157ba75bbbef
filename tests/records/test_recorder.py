from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tunebox.records import recorder as recorder_module
from tunebox.records.mlflow_runs import MlflowRuns
from tunebox.records.recorder import SearchRecorder
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.tracking import front_filter
from tunebox.records.trial_tables import read_log
from tunebox.spec.load import load_spec
from tunebox.trials import TrialLog

FILES = ("search.yaml", "trials.parquet", "history.parquet", "front.parquet", "front.html")


def replay(recorder: SearchRecorder, seed: int = 0) -> TrialLog:
    """Let ``recorder`` hear a whole search but for its end, and return its log."""
    search = MadeSearch(seed=seed)
    recorder.search_started(search.log)
    search.run(recorder)
    return search.log


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "made-1")


@pytest.mark.slow
def test_tables_and_mlflow_hold_the_same(
    folder: SearchFolder, make_store: Callable[[Path], str]
) -> None:
    out = folder.root.parent
    uri = make_store(out)
    recorder = SearchRecorder(folder, make_spec(), MlflowRuns(uri, out, folder.mlflow_ids))
    log = replay(recorder)
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    assert read_log(folder).trials == log.trials

    client = MlflowClient(tracking_uri=uri)
    runs = {run.info.run_name: run for run in client.search_runs(["1"], max_results=1000)}
    parent = runs.pop("made-1")
    assert set(runs) == set(log.trials)
    for trial_id, trial in log.trials.items():
        run = runs[trial_id]
        assert set(run.data.params) == set(trial.settings)
        assert run.data.metrics == trial.last_metrics
        assert run.data.tags["tunebox.state"] == trial.state.value
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    front = {run.info.run_name for run in client.search_runs(["1"], front_filter)}
    assert front == {trial.trial_id for trial in log.front()}

    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["hypervolume"] == log.hypervolume()
    assert parent.data.metrics["trials_ended"] == 24
    assert parent.data.params["search/seed"] == "3"
    assert parent.data.params["objectives/noisy_accuracy/reference"] == "0.1"
    assert parent.data.tags["mlflow.note.content"] == "Does it keep | what it is told?"
    assert "tunebox.torch_version" in parent.data.tags
    stored = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert stored == {*FILES, "front.png", "front_table.json"}


def test_without_mlflow_everything_is_in_the_folder(folder: SearchFolder) -> None:
    recorder = SearchRecorder(folder, make_spec(), None)
    log = replay(recorder, seed=1)
    recorder.search_ended(interrupted=True)
    assert {path.name for path in folder.root.iterdir()} == {*FILES, "front.png"}
    assert read_log(folder).trials == log.trials
    assert load_spec(str(folder.search_file)).space.leaves == make_spec().space.leaves
    assert [path.name for path in folder.root.parent.iterdir()] == ["made-1"]


def test_the_tables_are_not_written_at_every_report(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    monkeypatch.setattr(
        recorder_module, "write_tables", lambda _, log, __: writes.append(len(log.trials))
    )
    recorder = SearchRecorder(folder, make_spec(), None)
    replay(recorder)
    recorder.search_ended(interrupted=False)
    assert writes == [0, 24]


def test_a_full_disk_does_not_end_the_search(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder_module, "write_tables", full)
    recorder = SearchRecorder(folder, make_spec(), None)
    replay(recorder)
    recorder.search_ended(interrupted=False)
    assert len(recorder.warnings) == 1
    assert "No space left on device" in recorder.warnings[0]


def test_what_mlflow_did_not_take_is_a_warning(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("tunebox.records.mlflow_delivery._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("tunebox.records.mlflow_delivery.AWAY_SECONDS", 0.1)
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", away)
    out = folder.root.parent
    recorder = SearchRecorder(folder, make_spec(), MlflowRuns(f"sqlite:///{out}/m.db", out))
    replay(recorder)
    recorder.search_ended(interrupted=False)
    [warning] = recorder.warnings
    assert "lacks" in warning
    assert "no route to host" in warning
    assert pq.read_table(folder.trials).num_rows == 24

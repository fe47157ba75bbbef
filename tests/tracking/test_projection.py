import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from tests.command_line import trial_name
from tests.records.made_search import MadeSearch
from tests.tracking.recorder import Recorder, in_mlflow
from tunebox.decisions.events import Ended, Event
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.trial_tables import read_log
from tunebox.tracking.projection import _about
from tunebox.tracking.stores import front_filter

FILES = ("search.yaml", "trials.parquet", "history.parquet", "front.parquet", "report.html")


def recorded(folder: SearchFolder, uri: str, seed: int = 0) -> tuple[Recorder, TrialLog]:
    """Record a whole search but for its end."""
    search = MadeSearch(seed=seed)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder)
    return recorder, search.log


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return create_folder(tmp_path / "out", "made-1")


@pytest.mark.slow
def test_tables_and_mlflow_hold_the_same(
    folder: SearchFolder, make_store: Callable[[Path], str]
) -> None:
    uri = make_store(folder.root.parent)
    recorder, log = recorded(folder, uri)
    recorder.search_ended(interrupted=False)
    assert recorder.warnings == []
    assert read_log(folder).trials == log.trials

    client = MlflowClient(tracking_uri=uri)
    runs = {trial_name(run): run for run in client.search_runs(["1"], max_results=1000)}
    parent = runs.pop("made-1")
    assert set(runs) == set(log.trials)
    for trial_id, trial in log.trials.items():
        run = runs[trial_id]
        assert set(run.data.params) == set(trial.settings)
        assert run.data.metrics == in_mlflow(trial.last_metrics)
        assert run.data.tags["tunebox.state"] == trial.state.value
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.start_time == round(trial.start_time * 1000)
        assert trial.end_time is None or run.info.end_time == round(trial.end_time * 1000)
    front = {trial_name(run) for run in client.search_runs(["1"], front_filter)}
    assert front == {trial.trial_id for trial in log.front()}

    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["hypervolume"] == log.hypervolume()
    assert parent.data.metrics["front_size"] == len(log.front())
    assert parent.data.params["search/seed"] == "3"
    assert parent.data.params["objectives/noisy_accuracy/reference"] == "0.1"
    assert parent.data.tags["mlflow.note.content"] == "Does it keep | what it is told?"
    assert "tunebox.torch_version" in parent.data.tags
    assert "front_table.json" in parent.data.tags["mlflow.loggedArtifacts"]
    stored = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert stored == {*FILES, "front.png", "front_table.json"}


@pytest.mark.slow
def test_what_events_do_not_tell_is_not_in_mlflow(
    folder: SearchFolder, make_store: Callable[[Path], str]
) -> None:
    """The log has epochs that the journal could not keep; their trials are closed all the same."""
    uri = make_store(folder.root.parent)
    search = MadeSearch(3)
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    search.run(recorder, 5)
    told = {trial_id: trial.epochs for trial_id, trial in search.log.trials.items()}

    class EndsOnly(Recorder):
        def __init__(self) -> None:
            pass

        def on(self, event: Event) -> None:
            if isinstance(event, Ended):
                recorder.on(event)

        def tick(self) -> None:
            recorder.tick()

    search.run(EndsOnly())
    assert any(trial.epochs > told.get(key, 0) for key, trial in search.log.trials.items())
    recorder.search_ended(interrupted=False, trouble="No space left on device")
    client = MlflowClient(tracking_uri=uri)
    runs = {trial_name(run): run for run in client.search_runs(["1"])}
    assert runs.pop("made-1").info.status == "FAILED"
    assert runs.keys() == told.keys()
    for trial_id, run in runs.items():
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert sorted(metric.step for metric in history) == list(range(1, told[trial_id] + 1))
        ended = search.log.trials[trial_id].state is not TrialState.RUNNING
        assert (run.info.status != "RUNNING") == ended


def test_what_mlflow_did_not_take_is_a_warning(
    folder: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("tunebox.tracking.delivery._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("tunebox.tracking.delivery.AWAY_SECONDS", 0.1)
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", away)
    recorder, _ = recorded(folder, f"sqlite:///{folder.root.parent}/m.db")
    recorder.search_ended(interrupted=False)
    [warning] = recorder.warnings
    assert re.search(r"lacks up to \d+ updates of 24 trials \(no route to host\)", warning)
    assert "tunebox sync made-1 --out" in warning
    assert pq.read_table(folder.trials).num_rows == 24


def test_a_time_is_told_as_a_person_says_it() -> None:
    assert [_about(seconds) for seconds in (0.2, 42, 89, 170)] == [
        *("about 1 s", "about 42 s", "about 89 s", "about 3 min"),
    ]

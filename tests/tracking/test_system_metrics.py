"""The load of the driver's machine in MLflow: only where it is asked for, and never in the way."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.command_line import trial_name
from tests.records.made_search import MadeSearch
from tests.records.make_log import make_spec
from tests.tracking.recorder import Recorder, ended
from tunebox.records.files import write_text
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.spec.write import search_yaml
from tunebox.tracking.sync import sync_search

pytestmark = pytest.mark.slow

MakeStore = Callable[[Path], str]


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    folder = create_folder(tmp_path / "out", "s-1")
    write_text(folder.search_file, search_yaml(make_spec()))
    return folder


def parent(uri: str) -> Run:
    runs = MlflowClient(tracking_uri=uri).search_runs(["1"])
    return next(run for run in runs if trial_name(run) == "s-1")


def steps(uri: str, name: str = "system/cpu_utilization_percentage") -> list[int]:
    """The steps of a metric of the search's run, which is there."""
    client = MlflowClient(tracking_uri=uri)
    return [metric.step for metric in client.get_metric_history(parent(uri).info.run_id, name)]


def run(folder: SearchFolder, uri: str, search: MadeSearch, at_least: int) -> Recorder:
    """Run a search until MLflow has so many measurements."""
    recorder = Recorder(folder, uri, search.log)
    recorder.search_started()
    if search.waiting:  # a resume finds all trials ended
        search.run(recorder)
    recorder.wait_until_sent()
    deadline = time.monotonic() + 60
    while at_least and len(steps(uri)) < at_least:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    recorder.search_ended(interrupted=False)
    return recorder


@pytest.fixture
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow is asked for system metrics, ten times a second."""
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")


def test_none_without_the_switch(folder: SearchFolder, make_store: MakeStore) -> None:
    uri = make_store(folder.root.parent)
    recorder = run(folder, uri, MadeSearch(4), 0)
    assert recorder.warnings == []
    assert set(parent(uri).data.metrics) == {"hypervolume", "front_size", "epochs_spent"}


@pytest.mark.usefixtures("switched_on")
def test_measured_sent_and_no_part_of_the_search(
    folder: SearchFolder, make_store: MakeStore
) -> None:
    uri, search = make_store(folder.root.parent), MadeSearch(4)
    recorder = run(folder, uri, search, 3)
    assert recorder.warnings == []
    metrics = parent(uri).data.metrics
    assert 0 <= metrics["system/cpu_utilization_percentage"] <= 100
    assert metrics["system/system_memory_usage_megabytes"] > 1
    found = steps(uri)
    assert found == list(range(len(found)))
    time.sleep(0.5)
    assert steps(uri) == found  # nothing is measured after the end
    again = sync_search(folder, make_spec(), search.log, ended(), uri)
    assert (again.num_delivered, again.num_waiting, again.refusals) == (0, 0, [])


@pytest.mark.usefixtures("switched_on")
def test_a_resume_goes_on_behind_the_steps_of_before(
    folder: SearchFolder, make_store: MakeStore
) -> None:
    uri, search = make_store(folder.root.parent), MadeSearch(4)
    run(folder, uri, search, 2)
    num_before = len(steps(uri))
    run(folder, uri, search, num_before + 2)
    found = steps(uri)
    assert found == list(range(len(found)))


def test_a_failing_store_is_no_matter(
    folder: SearchFolder, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    uri, calls, log_batch = make_store(folder.root.parent), [0], MlflowClient.log_batch

    def fail_at_first(self: MlflowClient, run_id: str, *args: Any, **kwargs: Any) -> Any:
        metrics = kwargs.get("metrics") or (args[0] if args else ())
        if any(metric.key.startswith("system/") for metric in metrics):
            calls[0] += 1
            if calls[0] <= 3:
                raise ConnectionError("it is away")
        return log_batch(self, run_id, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", fail_at_first)
    recorder = run(folder, uri, MadeSearch(4), 2)
    assert recorder.warnings == []
    assert calls[0] > 3
    found = steps(uri)
    assert found == list(range(len(found)))

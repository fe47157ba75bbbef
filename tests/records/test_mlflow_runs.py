import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.command_line import free_port
from tests.records.make_log import START, make_report
from tunebox.records import mlflow_delivery, mlflow_values
from tunebox.records.mlflow_runs import MlflowRuns
from tunebox.records.tracking import front_filter
from tunebox.trials import TrialState

MakeStore = Callable[[Path], str]


def runs_of(uri: str, filter_string: str = "") -> list[Run]:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tunebox")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], filter_string))


def wait_until_sent(runs: MlflowRuns) -> None:
    while runs.num_waiting:
        time.sleep(0.01)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each call of MLflow's client was made."""
    counter: Counter[str] = Counter()

    def counted(name: str) -> None:
        original = getattr(MlflowClient, name)

        def call(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(MlflowClient, name, call)

    for name in ("create_run", "log_batch", "delete_tag", "log_artifact", "search_runs"):
        counted(name)
    return counter


def test_a_search_becomes_a_parent_run_with_a_child_for_each_trial(
    tmp_path: Path, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    uri = make_store(out)
    monkeypatch.chdir(tmp_path)
    search_file = out / "search.yaml"
    search_file.write_text("search: {}\n", encoding="utf-8")
    runs = MlflowRuns(uri, out, out / "mlflow.json")
    runs.start_search("s-1", {"search/seed": 3}, {"tunebox.version": "1"}, [search_file])
    for trial_id in ("b", "a"):
        runs.start_trial(trial_id, {"losses/x/weight": 0.5, "clamp": True}, START)
    for epoch in (1, 2):
        runs.log_report("a", make_report(epoch, 0.1 * epoch, 0.2))
    runs.end_trial("a", TrialState.STOPPED, {"tunebox.checkpoint": "ray/a"}, START + 10)
    runs.end_trial("b", TrialState.DIVERGED, {"tunebox.reason": "loss is nan"})
    runs.log_search_metrics(2, {"hypervolume": 0.25})
    runs.log_table("front_table.json", {"trial_id": ["a"], "clean_accuracy": [0.2]})
    runs.log_artifacts([search_file, out / "absent.png"])
    runs.end_search("FINISHED")
    assert runs.close() == 0

    by_name = {run.info.run_name: run for run in runs_of(uri)}
    assert set(by_name) == {"s-1", "a", "b"}
    parent, a, b = by_name["s-1"], by_name["a"], by_name["b"]
    assert parent.info.run_id == runs.parent_run_id
    assert a.info.run_id == runs.run_id("a")
    assert parent.data.params == {"search/seed": "3"}
    assert parent.data.metrics == {"hypervolume": 0.25}
    assert parent.data.tags["tunebox.version"] == "1"
    for trial in (a, b):
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.tags["tunebox.search"] == "s-1"
        assert trial.data.params == {"losses/x/weight": "0.5", "clamp": "true"}
    assert (a.info.status, a.data.tags["tunebox.state"]) == ("FINISHED", "stopped")
    assert (b.info.status, b.data.tags["tunebox.state"]) == ("FAILED", "diverged")
    assert b.data.tags["tunebox.reason"] == "loss is nan"
    assert (a.info.start_time, a.info.end_time) == (START * 1000, (START + 10) * 1000)

    client = MlflowClient(tracking_uri=uri)
    history = client.get_metric_history(a.info.run_id, "clean_accuracy")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (1, 0.1, (START + 1) * 1000),
        (2, 0.2, (START + 2) * 1000),
    ]
    stored = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert stored == {"search.yaml", "front_table.json"}
    table = mlflow.artifacts.load_dict(f"{parent.info.artifact_uri}/front_table.json")
    assert table == {"columns": ["trial_id", "clean_accuracy"], "data": [["a", 0.2]]}
    assert "front_table.json" in parent.data.tags["mlflow.loggedArtifacts"]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.name for path in out.iterdir()} == {
        *("mlflow.db", "mlartifacts", "mlflow.json", "search.yaml")
    }


def test_the_tag_of_the_front_moves(tmp_path: Path, make_store: MakeStore) -> None:
    uri = make_store(tmp_path)
    runs = MlflowRuns(uri, tmp_path)
    runs.start_search("s-1", {}, {})
    for trial_id in ("c", "a", "b"):
        runs.start_trial(trial_id, {})
    fronts: list[dict[str, str | None]] = [
        {"a": "checkpoints/a/3.pt"},
        {"c": "checkpoints/c/3.pt", "b": None},
        {"b": "checkpoints/b/3.pt"},
        {"b": "checkpoints/b/3.pt", "a": None},
        {"b": None, "a": None},
    ]
    for front in fronts:
        runs.set_front(front)
        wait_until_sent(runs)
        assert weights_in(uri) == front
    runs.set_front({"c": None})
    runs.set_front({})  # c was on the front for a moment that MLflow never saw
    assert runs.close() == 0
    assert weights_in(uri) == {}


def weights_in(uri: str) -> dict[str, str | None]:
    """The checkpoints of the trials that have the tag of the front; no other trial has one."""
    tags = {run.info.run_name: run.data.tags for run in runs_of(uri)}
    front = {run.info.run_name for run in runs_of(uri, front_filter)}
    assert all("tunebox.checkpoint" not in tags[name] for name in tags.keys() - front)
    return {name: tags[name].get("tunebox.checkpoint") for name in front}


def test_what_waits_is_sent_in_few_calls(
    tmp_path: Path, make_store: MakeStore, calls: Counter[str]
) -> None:
    uri = make_store(tmp_path)
    runs = MlflowRuns(uri, tmp_path)
    with runs._delivery._changed:  # the thread sees nothing before all is posted
        runs.start_search("s-1", {f"p{i}": i for i in range(250)}, {})
        for trial_id in ("a", "b"):
            runs.start_trial(trial_id, {"x": 1})
            for epoch in range(1, 401):
                runs.log_report(trial_id, make_report(epoch, 0.5, 0.5))
            runs.end_trial(trial_id, TrialState.FINISHED, {})
    assert runs.close() == 0
    # 250 parameters are 3 calls; 400 reports of 4 metrics are 2 calls for each trial
    assert calls == {"create_run": 3, "log_batch": 3 + 2 + 2}
    by_name = {run.info.run_name: run for run in runs_of(uri)}
    assert len(by_name["s-1"].data.params) == 250
    client = MlflowClient(tracking_uri=uri)
    run_id = runs.run_id("a")
    assert run_id is not None
    history = client.get_metric_history(run_id, "train_seconds")
    assert [metric.step for metric in history] == list(range(1, 401))


def test_long_values_and_strange_keys_arrive(tmp_path: Path, make_store: MakeStore) -> None:
    uri = make_store(tmp_path)
    runs = MlflowRuns(uri, tmp_path)
    runs.start_search("s-1", {"long": "x" * 10_000, "our best (2)": 1, "k" * 400: 2}, {})
    runs.start_trial("a", {})
    runs.end_trial("a", TrialState.FAILED, {"tunebox.reason": "y" * 20_000})
    runs.log_search_metrics(0, {"broken": float("nan"), "huge": float("inf")})
    assert runs.close() == 0
    by_name = {run.info.run_name: run for run in runs_of(uri)}
    params = by_name["s-1"].data.params
    assert len(params) == 3
    assert params["our best _2_"] == "1"
    assert params["long"].endswith("(cut: 10000 characters)")
    assert len(by_name["a"].data.tags["tunebox.reason"]) == mlflow_values.MAX_TAG
    assert set(by_name["s-1"].data.metrics) == {"broken", "huge"}


def test_no_call_waits_for_mlflow(
    tmp_path: Path, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    create_run = MlflowClient.create_run

    def slow(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        release.wait(30)
        return create_run(self, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_run", slow)
    runs = MlflowRuns(make_store(tmp_path), tmp_path)
    start = time.monotonic()
    runs.start_search("s-1", {}, {})
    for number in range(200):
        runs.start_trial(f"t{number}", {"x": number})
        runs.log_report(f"t{number}", make_report(1, 0.5, 0.5))
    assert time.monotonic() - start < 1.0
    assert runs.parent_run_id is None
    monkeypatch.setattr(mlflow_delivery, "END_SECONDS", 0.2)
    assert runs.close() == 401  # no progress: all are told as undelivered
    assert time.monotonic() - start < 2.0
    release.set()


def test_while_mlflow_is_away_the_updates_wait(
    tmp_path: Path,
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    calls: Counter[str],
) -> None:
    monkeypatch.setattr(mlflow_delivery, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(mlflow_delivery, "_LONGEST_PAUSE", 0.01)
    create_run, failures = MlflowClient.create_run, iter(range(12))

    def away(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        run = create_run(self, *args, **kwargs)
        if next(failures, None) is not None:
            raise ConnectionError("the answer got lost")  # the run was made all the same
        return run

    monkeypatch.setattr(MlflowClient, "create_run", away)
    uri = make_store(tmp_path)
    runs = MlflowRuns(uri, tmp_path)
    runs.start_search("s-1", {}, {})
    for number in range(12):
        runs.start_trial(f"t{number}", {"x": number})
        runs.log_report(f"t{number}", make_report(1, 0.5, 0.5))
    assert runs.close() == 0
    names = Counter(run.info.run_name for run in runs_of(uri))
    assert names == {"s-1": 1, **{f"t{number}": 1 for number in range(12)}}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the answer got lost" in caplog.text
    assert runs.error is None


def test_a_store_that_never_works_is_reported_and_raises_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_delivery, "_FIRST_PAUSE", 0.001)

    def broken(*_: Any, **__: Any) -> None:
        raise MlflowException("no route to the server")  # what a lost connection looks like

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", broken)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    runs = MlflowRuns(uri, tmp_path)
    runs.start_search("s-1", {}, {})
    runs.start_trial("a", {})
    runs.end_trial("a", TrialState.FINISHED, {})
    monkeypatch.setattr(mlflow_delivery, "AWAY_SECONDS", 0.1)
    assert runs.close() == 3
    assert len(caplog.records) == 1
    assert runs.error == "no route to the server"
    assert runs.parent_run_id is None
    assert runs.run_id("a") is None


def test_a_server_that_is_not_there_is_told_soon_and_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_delivery, "AWAY_SECONDS", 0.5)
    runs = MlflowRuns(f"http://me:secret@127.0.0.1:{free_port()}", tmp_path)
    runs.start_search("s-1", {}, {})
    runs.start_trial("a", {})
    start = time.monotonic()
    assert runs.close() == 2
    assert time.monotonic() - start < 5
    assert runs.error is not None
    assert "refused" in runs.error
    assert "127.0.0.1" in caplog.text
    for said in (runs.error, caplog.text, runs.public_uri):
        assert "secret" not in said
        assert "me:" not in said
    assert runs._delivery._thread is not None
    runs._delivery._thread.join(30)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_an_update_that_is_refused_does_not_hold_up_the_others(
    tmp_path: Path, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_delivery, "_FIRST_PAUSE", 0.001)
    uri = make_store(tmp_path)
    log_batch = MlflowClient.log_batch

    def picky(self: MlflowClient, run_id: str, *args: Any, **kwargs: Any) -> Any:
        if self.get_run(run_id).info.run_name == "a":
            raise MlflowException.invalid_parameter_value("not this one")
        return log_batch(self, run_id, *args, **kwargs)

    monkeypatch.setattr(MlflowClient, "log_batch", picky)
    runs = MlflowRuns(uri, tmp_path)
    with runs._delivery._changed:
        runs.start_search("s-1", {}, {})
        for trial_id in ("a", "b"):
            runs.start_trial(trial_id, {"x": 1})
            runs.log_report(trial_id, make_report(1, 0.5, 0.5))
    assert runs.close() == 0
    assert runs.refusals == ["a: not this one"] * 2  # its parameters, and its report
    by_name = {run.info.run_name: run for run in runs_of(uri)}
    assert by_name["b"].data.metrics["clean_accuracy"] == 0.5
    assert by_name["a"].data.metrics == {}


def test_mlflow_of_the_program_around_is_left_alone(tmp_path: Path, make_store: MakeStore) -> None:
    before = mlflow.get_tracking_uri()
    runs = MlflowRuns(make_store(tmp_path), tmp_path)
    runs.start_search("s-1", {}, {})
    assert runs.close() == 0
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


def test_ids_are_noted_without_credentials(tmp_path: Path, make_store: MakeStore) -> None:
    runs = MlflowRuns(make_store(tmp_path) + "?timeout=30", tmp_path, tmp_path / "mlflow.json")
    runs.start_search("s-1", {}, {})
    assert runs.close() == 0
    text = (tmp_path / "mlflow.json").read_text(encoding="utf-8")
    assert runs.parent_run_id is not None
    assert runs.parent_run_id in text
    assert "timeout" not in text


def test_no_step_is_told_twice_when_the_outbox_is_lost(
    tmp_path: Path, make_store: MakeStore
) -> None:
    uri, outbox = make_store(tmp_path), tmp_path / "outbox.jsonl"
    for clean, volume in ((0.5, 0.25), (0.7, 0.5)):
        outbox.unlink(missing_ok=True)
        runs = MlflowRuns(uri, tmp_path, tmp_path / "mlflow.json", outbox)
        runs.start_search("s-1", {}, {})
        runs.start_trial("a", {}, START)
        time.sleep(0.002)  # MLflow counts milliseconds
        runs.log_search_metrics(1, {"hypervolume": volume})
        # what a full disk kept from the journal is trained again, at another time
        runs.log_report("a", replace(make_report(1, clean, 0.5), time=START + clean))
        assert runs.close() == 0
    client = MlflowClient(tracking_uri=uri)
    [parent, trial] = sorted(runs_of(uri), key=lambda run: str(run.info.run_name), reverse=True)
    told = client.get_metric_history(parent.info.run_id, "hypervolume")
    assert [(metric.step, metric.value) for metric in told] == [(1, 0.25), (2, 0.5)]
    told = client.get_metric_history(trial.info.run_id, "clean_accuracy")
    assert [(metric.step, metric.value) for metric in told] == [(1, 0.5)]


def test_the_end_of_a_trial_without_a_run_is_nothing(tmp_path: Path, make_store: MakeStore) -> None:
    uri = make_store(tmp_path)
    runs = MlflowRuns(uri, tmp_path)
    runs.start_search("s-1", {}, {})
    runs.end_trial("a", TrialState.INTERRUPTED, {})
    assert runs.close() == 0
    assert runs.refusals == []
    assert [run.info.run_name for run in runs_of(uri)] == ["s-1"]


def test_nothing_to_send_needs_no_mlflow(tmp_path: Path) -> None:
    assert MlflowRuns(f"sqlite:///{tmp_path}/mlflow.db", tmp_path).close() == 0
    assert list(tmp_path.iterdir()) == []

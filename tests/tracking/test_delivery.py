"""The runs that a search and its trials have in the database of MLflow."""

from collections import Counter
from dataclasses import replace

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.records.make_log import START
from tests.tracking.delivering import (
    BY_CALLS,
    PARENT,
    Deliver,
    assert_delivered,
    child,
    history,
    runs_of,
)
from tunebox.decisions.trials import Report
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.space import Scalar
from tunebox.tracking import values


def test_a_parent_run_has_a_child_for_each_trial(
    folder: SearchFolder, uri: str, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.root.parent.parent)
    ended = child("a", 2, status="FINISHED", end_time=START + 10)
    assert_delivered(deliver(uri, ended, child("b")))
    by_name = runs_of(uri)
    assert set(by_name) == {"s-1", "a", "b"}
    parent, a, b = by_name["s-1"], by_name["a"], by_name["b"]
    assert parent.data.params == {"seed": "3"}
    for trial in (a, b):
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.params == {"x": "1"}
    assert (a.info.status, b.info.status) == ("FINISHED", "RUNNING")
    assert (a.info.start_time, a.info.end_time) == (START * 1000, (START + 10) * 1000)
    found = MlflowClient(tracking_uri=uri).get_metric_history(a.info.run_id, "clean_accuracy")
    assert [(m.step, m.value, m.timestamp) for m in found] == [
        (1, 0.1, (START + 1) * 1000),
        (2, 0.2, (START + 2) * 1000),
    ]
    assert {path.name for path in folder.root.parent.parent.iterdir()} == {"out"}


def test_tags_come_and_go(uri: str, deliver: Deliver) -> None:
    front = {"tunebox.trial_id": "a", "tunebox.pareto": "true", "tunebox.checkpoint": "a/3.pt"}
    others = [child("b"), child("c")]
    for tags in (front, {"tunebox.trial_id": "a"}, {**front, "tunebox.checkpoint": "a/4.pt"}):
        assert_delivered(deliver(uri, child("a", tags=tags), *others))
        found = runs_of(uri)
        ours = {k: v for k, v in found["a"].data.tags.items() if k in front}
        assert ours == tags
        assert "tunebox.pareto" not in found["b"].data.tags


@BY_CALLS
def test_what_waits_is_sent_in_few_calls(uri: str, deliver: Deliver, calls: Counter[str]) -> None:
    parent = replace(PARENT, params={f"p{i}": i for i in range(250)})
    runs = [child(name, 400, status="FINISHED", end_time=START) for name in ("a", "b")]
    assert_delivered(deliver(uri, *runs, parent=parent))
    # 250 parameters are 3 calls; 400 reports of 4 metrics are 2 calls for each trial
    assert calls == {"create_run": 3, "log_batch": 3 + 2 + 2}
    by_name = runs_of(uri)
    assert len(by_name["s-1"].data.params) == 250
    steps = [step for step, _ in history(uri, by_name["a"], "train_seconds")]
    assert steps == list(range(1, 401))


def test_nothing_new_is_no_call(uri: str, deliver: Deliver, calls: Counter[str]) -> None:
    runs = [child(name, 3, status="FINISHED", end_time=START) for name in ("a", "b")]
    assert_delivered(deliver(uri, *runs))
    calls.clear()
    assert_delivered(deliver(uri, *runs))
    assert calls == {}


def test_long_values_and_strange_keys_arrive(uri: str, deliver: Deliver) -> None:
    params: dict[str, Scalar] = {"long": "x" * 10_000, "our best (2)": 1, "k" * 400: 2}
    broken = Report(0, {"broken": float("nan"), "huge": float("inf")}, START)
    parent = replace(PARENT, params=params, points=[broken], num_points=1)
    reason = child("a", tags={"tunebox.reason": "y" * 20_000})
    assert_delivered(deliver(uri, reason, parent=parent))
    by_name = runs_of(uri)
    found = by_name["s-1"].data.params
    assert len(found) == 3
    assert found[values.key("our best (2)")] == "1"
    assert found["long"].endswith("(cut: 10000 characters)")
    assert len(by_name["a"].data.tags["tunebox.reason"]) == values.MAX_TAG
    assert set(by_name["s-1"].data.metrics) == {"broken", "huge"}


def test_metrics_of_the_search_have_no_step_twice(
    folder: SearchFolder, uri: str, deliver: Deliver
) -> None:
    folder.journal.write_bytes(b"header\nfirst event\n")
    for number, volume in enumerate((0.25, 0.5)):
        folder.mlflow.unlink(missing_ok=True)
        points = [Report(1, {"hypervolume": volume}, START + number)]
        assert_delivered(deliver(uri, parent=replace(PARENT, points=points, num_points=1)))
    assert history(uri, runs_of(uri)["s-1"], "hypervolume") == [(1, 0.25), (2, 0.5)]


@BY_CALLS
def test_mlflow_of_the_program_around_is_left_alone(uri: str, deliver: Deliver) -> None:
    before = mlflow.get_tracking_uri()
    assert_delivered(deliver(uri, child("a"), child("b")))
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None

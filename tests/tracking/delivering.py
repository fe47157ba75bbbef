"""Runs for the tests of what is delivered to MLflow, and what a store then has."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.records.make_log import START, make_report
from tunebox.tracking.delivery import Delivery
from tunebox.tracking.runs import RunState

MakeStore = Callable[[Path], str]
Deliver = Callable[..., Delivery]
PARENT = RunState("s-1", {"seed": 3}, {"tunebox.search": "s-1"}, START, is_search=True)
BY_CALLS = pytest.mark.parametrize("way", ["calls"], indirect=True)


def child(name: str, num_points: int = 0, **changes: Any) -> RunState:
    points = [make_report(epoch, 0.1 * epoch, 0.2) for epoch in range(1, num_points + 1)]
    tags = {"tunebox.trial_id": name}
    run = RunState(name, {"x": 1}, tags, START, points=points, num_points=num_points)
    return replace(run, **changes)


def assert_delivered(made: Delivery) -> None:
    made.close()
    assert made.num_waiting == 0
    assert made.error is None


def runs_of(uri: str, filter_string: str = "") -> dict[str, Run]:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tunebox")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], filter_string)
    found = {run.info.run_name: run for run in runs}
    assert len(found) == len(runs)
    return found


def history(uri: str, run: Run, name: str) -> list[tuple[int, float]]:
    found = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, name)
    return sorted((metric.step, metric.value) for metric in found)

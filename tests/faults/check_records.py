"""What the records of an ended search must be, whatever died on the way. Raises AssertionError.

Everything is read from the files and from MLflow itself, with none of the package's readers.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.pareto.brute_force import dominates, hypervolume

Rows = list[dict[str, Any]]
Histories = dict[str, dict[str, list[tuple[int, float]]]]

_NOT_METRICS = ("trial_id", "epoch", "time")
_ONLY_IN_TABLES = ("images_per_second", "train_seconds", "parameters")
_RESULTS = ("finished", "stopped")  # the states of trials that can be on the front
_STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "interrupted": "KILLED"}


def check_records(folder: Path, tracking_uri: str, status: str = "FINISHED") -> None:
    """Check tables and MLflow of the ended search in ``folder``; ``status`` is the parent run's."""
    check_tables(folder)
    check_trials_in_mlflow(folder, tracking_uri)
    check_histories_in_mlflow(folder, tracking_uri)
    check_front_in_mlflow(folder, tracking_uri)
    check_parent_in_mlflow(folder, tracking_uri, status)


def check_tables(folder: Path) -> None:
    """Each trial is once in trials.parquet, each epoch once in history.parquet; the front is it."""
    trials, history = _rows(folder / "trials.parquet"), _rows(folder / "history.parquet")
    _assert_once("trials.parquet", [row["trial_id"] for row in trials])
    _assert_once("history.parquet", [(row["trial_id"], row["epoch"]) for row in history])
    known = {row["trial_id"] for row in trials}
    assert {row["trial_id"] for row in history} <= known
    for row in trials:
        epochs = [report["epoch"] for report in history if report["trial_id"] == row["trial_id"]]
        assert sorted(epochs) == list(range(1, row["epochs"] + 1)), row["trial_id"]
    front = [row["trial_id"] for row in _rows(folder / "front.parquet")]
    _assert_once("front.parquet", front)
    assert set(front) == front_by_brute_force(folder)


def check_trials_in_mlflow(folder: Path, tracking_uri: str) -> None:
    """Each trial is exactly one child run of the one parent, in the state of the tables."""
    trials = {row["trial_id"]: row for row in _rows(folder / "trials.parquet")}
    children = child_runs(folder, tracking_uri)
    _assert_once("MLflow", [_trial_id(run) for run in children])
    assert {_trial_id(run) for run in children} == set(trials)
    parent = parent_run(folder, tracking_uri)
    for run in children:
        state = trials[_trial_id(run)]["state"]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["tunebox.state"] == state, _trial_id(run)
        assert run.info.status == _STATUS.get(state, "FAILED"), _trial_id(run)


def check_histories_in_mlflow(folder: Path, tracking_uri: str) -> None:
    """The metrics of each trial in MLflow are those of history.parquet: no gap, no double."""
    expected = histories_of_the_table(folder)
    client = MlflowClient(tracking_uri=tracking_uri)
    for run in child_runs(folder, tracking_uri):
        wanted = expected.get(_trial_id(run), {})
        assert set(run.data.metrics) == set(wanted), _trial_id(run)
        for name, points in wanted.items():
            found = client.get_metric_history(run.info.run_id, name)
            steps = sorted((metric.step, metric.value) for metric in found)
            assert _same(steps, points), f"{_trial_id(run)} {name}: {steps} is not {points}"


def check_front_in_mlflow(folder: Path, tracking_uri: str) -> None:
    """The tags of the front are on the trials of the front and on no other."""
    runs = {_trial_id(run): run.data.tags for run in child_runs(folder, tracking_uri)}
    tagged = {trial_id for trial_id, tags in runs.items() if "tunebox.pareto" in tags}
    assert tagged == front_by_brute_force(folder)
    weights = {trial_id: tags.get("tunebox.checkpoint") for trial_id, tags in runs.items()}
    rows = _rows(folder / "front.parquet")
    expected = {row["trial_id"]: row["checkpoint"] for row in rows}
    assert weights == dict.fromkeys(runs) | expected


def check_weights(folder: Path) -> None:
    """The trials of the front have their weights, after their last epoch; no other has any."""
    rows = _rows(folder / "trials.parquet")
    expected = {
        row["trial_id"]: f"checkpoints/{row['trial_id']}/{row['epochs']:06d}.pt"
        for row in rows
        if row["trial_id"] in front_by_brute_force(folder)
    }
    noted = {row["trial_id"]: row["checkpoint"] for row in rows}
    assert noted == dict.fromkeys(noted) | expected
    found = {str(path.relative_to(folder)) for path in (folder / "checkpoints").rglob("*.*")}
    assert found == set(expected.values())
    for row in rows:
        if row["trial_id"] in expected:
            content = torch.load(folder / expected[row["trial_id"]], weights_only=True)
            assert content["state"]["epoch"] == row["epochs"], row["trial_id"]


def check_parent_in_mlflow(folder: Path, tracking_uri: str, status: str = "FINISHED") -> None:
    """The run of the search is closed, has its files and the last numbers, and no step twice."""
    client = MlflowClient(tracking_uri=tracking_uri)
    run = parent_run(folder, tracking_uri)
    assert run.info.status == status
    stored = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert stored >= {"search.yaml", "trials.parquet", "history.parquet", "front.parquet"}
    assert run.data.metrics["front_size"] == len(front_by_brute_force(folder))
    assert math.isclose(run.data.metrics["hypervolume"], hypervolume_by_brute_force(folder))
    for name in run.data.metrics:
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, name)]
        _assert_once(f"{name} of the search", steps)


def histories_of_the_table(folder: Path) -> Histories:
    """Return (epoch, value) of each metric that MLflow gets of each trial, by epoch."""
    found: Histories = {}
    for row in sorted(_rows(folder / "history.parquet"), key=lambda row: int(row["epoch"])):
        for name, value in row.items():
            if name not in (*_NOT_METRICS, *_ONLY_IN_TABLES) and value is not None:
                points = found.setdefault(row["trial_id"], {}).setdefault(name, [])
                points.append((row["epoch"], value))
    return found


def front_by_brute_force(folder: Path) -> set[str]:
    """Return the trials that no other dominates, by their last rows in history.parquet."""
    costs = _last_costs(folder)
    return {
        trial_id
        for trial_id, point in costs.items()
        if not any(dominates(other, point) for other in costs.values())
    }


def hypervolume_by_brute_force(folder: Path) -> float:
    """Return the hypervolume of the front up to the reference point of the search."""
    front = front_by_brute_force(folder)
    signs = [(_sign(objective), objective["reference"]) for objective in _objectives(folder)]
    reference = np.array([sign * value for sign, value in signs])
    points = [point for trial_id, point in _last_costs(folder).items() if trial_id in front]
    return hypervolume(np.array(points, dtype=float).reshape(-1, len(signs)), reference)


def parent_run(folder: Path, tracking_uri: str) -> Run:
    """Return the one run of the search."""
    [run] = _runs(folder, tracking_uri, "search")
    return run


def child_runs(folder: Path, tracking_uri: str) -> list[Run]:
    """Return the runs of the search's trials."""
    return _runs(folder, tracking_uri, "trial")


def _runs(folder: Path, tracking_uri: str, kind: str) -> list[Run]:
    client = MlflowClient(tracking_uri=tracking_uri)
    experiment = client.get_experiment_by_name("tunebox")
    assert experiment is not None
    wanted = f"tags.`tunebox.search` = '{folder.name}' and tags.`tunebox.kind` = '{kind}'"
    found = client.search_runs([experiment.experiment_id], wanted, max_results=10_000)
    assert found.token is None
    return list(found)


def _last_costs(folder: Path) -> dict[str, list[float]]:
    trials = _rows(folder / "trials.parquet")
    results = {row["trial_id"] for row in trials if row["state"] in _RESULTS}
    objectives = _objectives(folder)
    return {
        trial_id: [_sign(o) * metrics[o["name"]][-1][1] for o in objectives]
        for trial_id, metrics in histories_of_the_table(folder).items()
        if trial_id in results
    }


def _objectives(folder: Path) -> list[dict[str, Any]]:
    metadata = pq.read_schema(folder / "history.parquet").metadata
    objectives: list[dict[str, Any]] = json.loads(metadata[b"tunebox"])["objectives"]
    return objectives


def _sign(objective: dict[str, Any]) -> float:
    return -1.0 if objective["direction"] == "maximize" else 1.0


def _rows(path: Path) -> Rows:
    rows: Rows = pq.ParquetFile(path).read().to_pylist()
    return rows


def _trial_id(run: Run) -> str:
    return str(run.data.tags["tunebox.trial_id"])


def _same(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> bool:
    """Whether both have the same steps and values; MLflow keeps infinity as the largest float."""
    largest = sys.float_info.max
    return len(found) == len(expected) and all(
        a == b and (x == max(-largest, min(largest, y)) or (math.isnan(x) and math.isnan(y)))
        for (a, x), (b, y) in zip(found, expected, strict=True)
    )


def _assert_once(where: str, names: list[Any]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    assert not twice, f"more than once in {where}: {twice}"

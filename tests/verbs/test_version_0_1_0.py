"""A search that version 0.1.0 ran in part: it is read, exported, delivered and finished."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import tunebox
from tests.command_line import mlflow_runs, succeed
from tests.ray_cluster import RayCluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# small/ is the folder of a search that a budget of 17 epochs ended after its fifth trial, without
# pictures; mlflow.sql.gz its store; finished.json what 0.1.0 found without that budget
FOLDER = Path(__file__).parents[1] / "data" / "search_0_1_0"
FINISHED = json.loads((FOLDER / "finished.json").read_text(encoding="utf-8"))
WRITTEN_AT = "/home/me/results"

Row = dict[str, Any]


def lay_out(home: Path) -> Path:
    """Put the results folder of 0.1.0 into a folder, and return it."""
    out = home / "out"
    shutil.copytree(FOLDER / "small", out / "small")
    script = gzip.decompress((FOLDER / "mlflow.sql.gz").read_bytes()).decode()
    store = sqlite3.connect(out / "mlflow.db")
    store.executescript(script.replace(WRITTEN_AT, str(out)))  # MLflow's files come here
    store.close()
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder as 0.1.0 left it, but for its place."""
    return lay_out(tmp_path_factory.mktemp("stopped"))


@pytest.fixture(scope="module", params=["in process", "on Ray"])
def resumed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    ray_cluster: RayCluster,
) -> Path:
    """The same folder after its search was finished, in a process or by Ray."""
    out = lay_out(tmp_path_factory.mktemp("resumed"))
    address = ray_cluster.address if request.param == "on Ray" else "none"
    succeed(
        *("search", "--resume", "small", "--epochs", "1000", "--max-concurrent", "1"),
        *("--out", "out", "--address", address),
        cwd=out.parent,
    )
    return out


def rows(path: Path) -> list[Row]:
    found: list[Row] = pq.read_table(path).to_pylist()
    return found


def test_front_is_read(stopped: Path) -> None:
    printed = succeed("front", "small", "--out", "out", cwd=stopped.parent)
    trials = rows(stopped / "small" / "trials.parquet")
    front = [row["trial_id"] for row in rows(stopped / "small" / "front.parquet")]
    assert f"Front of small: {len(front)} of {len(trials)} trials" in printed
    table = [line.split()[0] for line in printed.splitlines() if line.startswith("0")]
    assert sorted(table) == sorted(front)


def test_resumed_search_is_the_undisturbed_one(resumed: Path) -> None:
    """But for trials that 0.1.0 stopped at a rung because they tied: they may go on now."""
    folder = resumed / "small"
    history = rows(folder / "history.parquet")
    trials = {row["trial_id"]: row for row in rows(folder / "trials.parquet")}
    assert trials.keys() == FINISHED["trials"].keys()
    for trial, expected in FINISHED["trials"].items():
        row = trials[trial]
        assert row["state"] in (expected["state"], "finished"), trial
        assert {name: row[name] for name in expected["settings"]} == expected["settings"], trial
        reports = [report for report in history if report["trial_id"] == trial]
        assert len(reports) >= len(expected["metrics"])
        for report, wanted in zip(reports, expected["metrics"], strict=False):
            # the last bits of a sum are the processor's
            found = {name: report[name] for name in wanted}
            assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6), trial
    assert {row["trial_id"] for row in rows(folder / "front.parquet")} >= {*FINISHED["front"]}


def test_every_trial_is_in_mlflow_once(resumed: Path) -> None:
    out = resumed
    succeed("sync", "small", "--out", "out", cwd=out.parent)
    runs = mlflow_runs(out)
    trials = {row["trial_id"]: row for row in rows(out / "small" / "trials.parquet")}
    kinds = Counter(run.data.tags["tunebox.kind"] for run in runs)
    assert kinds == {"search": 1, "trial": len(trials)}
    for run in runs:
        if run.data.tags["tunebox.kind"] == "trial":
            row = trials.pop(run.data.tags["tunebox.trial_id"])
            assert run.info.status == "FINISHED"
            assert math.isclose(run.data.metrics["clean_accuracy"], row["last/clean_accuracy"])
    assert not trials


def test_trials_are_exported(stopped: Path, resumed: Path, tmp_path: Path) -> None:
    for out in (stopped, resumed):
        exported = tmp_path / out.parent.name
        succeed("export", "small", "--out", "out", "--to", exported, cwd=out.parent)
        front = {row["trial_id"] for row in rows(out / "small" / "front.parquet")}
        folders = list(exported.iterdir())
        assert {folder.name for folder in folders} == front
        for folder in folders:
            assert {path.name for path in folder.iterdir()} == {
                "README.md",
                "model.json",
                "model.pt2",
                "model.safetensors",
                "trial.yaml",
            }


def test_exported_models_have_numbers_for_names(stopped: Path, tmp_path: Path) -> None:
    exported = tunebox.export("small", out=stopped, to=tmp_path / "exported")
    assert exported.folders
    for folder in exported.folders:
        with pytest.warns(UserWarning, match="recorded no names of classes"):
            model = tunebox.load_model(folder)
        classes = model.predict(torch.rand(5, *model.format.image_shape)).classes
        assert set(classes) <= {str(number) for number in range(10)}

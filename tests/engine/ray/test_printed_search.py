"""A real search that is told constraints, starting points, an earlier search and a budget."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.command_line import SEARCH_FILE, mlflow_runs, succeed, trial_name
from tests.conftest import RealSearch
from tunebox.decisions.trials import TrialState
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

TOLD = (
    SEARCH_FILE.replace("trials: 12", "trials: 100")
    + """\
constraints: {clean_accuracy: {min: 0.5}, parameters: {max: 1300}}
start:
  - {losses: {both: {noise: {std: 0.5}}}, model: {width: 16}, optimizer: {lr: 0.125}}
  - {losses: clean_only, model: {width: 32}}
"""
)


def test_a_search_follows_its_options(
    real_search: RealSearch, ray_address: str, tmp_path: Path
) -> None:
    (tmp_path / "told.yaml").write_text(TOLD, encoding="utf-8")
    out = tmp_path / "out"
    shutil.copytree(real_search.folder.root, out / real_search.name)  # which nothing may change
    options = ("--out", out, "--warm-start", real_search.name)
    told = ("--epochs", "30", "--name", "told", "--address", ray_address)
    printed = succeed("search", "told.yaml", *options, *told, cwd=tmp_path)
    folder = SearchFolder(out / "told")
    log = read_log(folder)
    assert f"warm start from {real_search.name}: took 12 of 12 trials" in printed
    assert "ended   the budget of 30 epochs is spent" in printed
    assert 30 <= log.epochs_spent <= 34
    assert log.count(TrialState.INTERRUPTED) >= 1
    assert log.count(TrialState.RUNNING) == 0
    first, second = (log.trials[trial_id].settings for trial_id in ("0000", "0001"))
    assert first == {
        "model/width": 16,
        "losses": "both",
        "losses/both/noise/std": 0.5,
        "optimizer/lr": 0.125,
    }
    assert (second["losses"], second["model/width"]) == ("clean_only", 32)
    kept = {
        trial.trial_id: trial.last_metrics["clean_accuracy"] >= 0.5
        and trial.last_metrics["parameters"] <= 1300
        for trial in log.trials.values()
        if trial.history
    }
    assert not kept["0001"]
    rows = {row["trial_id"]: row["feasible"] for row in pq.read_table(folder.trials).to_pylist()}
    assert {trial_id: rows[trial_id] for trial_id in kept} == kept
    assert {row["trial_id"] for row in pq.read_table(folder.front).to_pylist()} <= {
        trial_id for trial_id, is_kept in kept.items() if is_kept
    }
    runs = mlflow_runs(out, f"tags.`tunebox.search` = '{folder.name}'")
    tags = {trial_name(run): run.data.tags for run in runs}
    assert {i: tags[i]["tunebox.feasible"] for i in kept} == {
        trial_id: str(is_kept).lower() for trial_id, is_kept in kept.items()
    }

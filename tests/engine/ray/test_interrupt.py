"""A search that is ended before its last trial keeps everything that was reported."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.command_line import SEARCH_FILE, mlflow_runs, run_tunebox, start_tunebox, succeed
from tunebox.decisions.trials import TrialState
from tunebox.errors import RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# the first trials are quick, but for the last epochs
LONG = SEARCH_FILE.replace("trials: 12", "trials: 1000").replace(
    "max_epochs: 6", "max_epochs: 4096"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    return tmp_path


def wait_for_ended_trials(folder: SearchFolder, count: int, timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            if read_log(folder).num_ended >= count:
                return
        except RecordsError:
            pass  # not written yet
    raise TimeoutError(f"{folder.root} has no {count} ended trials after {timeout} s")


def test_ctrl_c_ends_the_search_in_good_order(home: Path) -> None:
    folder = SearchFolder(home / "results" / "long-1")
    process = start_tunebox("search", "long.yaml", "--address", "local", cwd=home)
    try:
        wait_for_ended_trials(folder, 3)
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all of its processes get it
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - pressed < 30
    assert process.returncode == 130, stdout + stderr
    assert stderr == ""
    log = read_log(folder)
    assert log.count(TrialState.RUNNING) == 0
    assert 1 <= log.count(TrialState.INTERRUPTED) <= 2
    assert log.count(TrialState.FAILED) == 0
    last_line = re.findall(r"(\d+) epochs, front (\d+)", stdout)[-1]
    assert [int(number) for number in last_line] == [log.epochs_spent, len(log.front())]
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'results' / 'mlflow.db'}")
    runs = mlflow_runs(home / "results")
    [parent] = [run for run in runs if run.data.tags["tunebox.kind"] == "search"]
    assert parent.info.status == "KILLED"
    children = {
        run.data.tags["tunebox.trial_id"]: run
        for run in runs
        if run.data.tags["tunebox.kind"] == "trial"
    }
    assert set(children) == set(log.trials)
    for trial_id, trial in log.trials.items():
        run = children[trial_id]
        status = {TrialState.INTERRUPTED: "KILLED", TrialState.DIVERGED: "FAILED"}
        assert run.info.status == status.get(trial.state, "FINISHED")
        assert run.data.tags["tunebox.state"] == trial.state.value
        assert [report.epoch for report in trial.history] == list(range(1, trial.epochs + 1))
        if trial.epochs:
            history = client.get_metric_history(run.info.run_id, "clean_accuracy")
            assert len(history) == trial.epochs
    front = {i for i, run in children.items() if run.data.tags.get("tunebox.pareto") == "true"}
    assert front == {trial.trial_id for trial in log.front()}
    printed = succeed("front", "long-1", cwd=home)
    assert f"{len(log.front())} of {len(log.trials)} trials" in printed


def test_a_time_budget_ends_the_search(home: Path, ray_address: str) -> None:
    for budget in (35, 90):  # a busy machine may train no epoch in the first
        options = ("--time-budget", str(budget), "--address", ray_address, "--name", f"b{budget}")
        start = time.monotonic()
        printed = run_tunebox("search", "long.yaml", *options, cwd=home).stdout
        assert time.monotonic() - start < budget + 85
        assert f"ended   the time budget of {budget} s is spent" in printed
        log = read_log(SearchFolder(home / "results" / f"b{budget}"))
        if log.front():
            break
    assert log.front()
    assert log.count(TrialState.RUNNING) == 0
    assert log.count(TrialState.INTERRUPTED) >= 1
    assert f"of {len(log.trials)} trials, hypervolume" in printed

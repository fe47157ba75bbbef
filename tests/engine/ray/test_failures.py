"""Trials that diverge or raise end, are recorded, and do not end the search."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.command_line import mlflow_runs, run_tunebox
from tunebox.decisions.trials import TrialLog, TrialState
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

# no machine has the memory for the wide model
SEARCH_FILE = """\
data: {kind: digits, train_images: 300}
model: {kind: mlp, width: {choice: [8, 65536]}, depth: 100, feature_dim: 4}
losses: {cross_entropy: {on: clean}}
optimizer: {kind: sgd, lr: {choice: [0.05, 1.0e+6]}}
evaluation: {noise: {kind: gaussian, std: 0.5}}
search: {trials: 4, min_epochs: 2, max_epochs: 2, seed: 2, max_failures: 1}
"""
# more images than there are is found out when they are loaded
ALL_FAIL = (
    SEARCH_FILE.replace("300", "5000")
    .replace("8, 65536", "8, 16")
    .replace("trials: 4", "trials: 50")
)

# raises once the training has begun, so that the trial of the parts before the search passes
PARTS = """\
def broken(logits, labels, progress):
    if progress > 0:
        raise RuntimeError("it is broken")
    return logits.sum()
"""
ALL_RAISE = (
    SEARCH_FILE.replace("8, 65536", "8, 16")
    .replace("{on: clean}", "{on: clean}, broken: {kind: 'parts.py:broken'}")
    .replace("trials: 4", "trials: 50")
)


def search(text: str, home: Path, address: str) -> subprocess.CompletedProcess[str]:
    (home / "faulty.yaml").write_text(text, encoding="utf-8")
    return run_tunebox("search", "faulty.yaml", "--address", address, cwd=home)


def read(home: Path) -> TrialLog:
    return read_log(SearchFolder(home / "results" / "faulty-1"))


def test_the_search_goes_on(tmp_path: Path, ray_address: str) -> None:
    done = search(SEARCH_FILE, tmp_path, ray_address)
    assert done.returncode == 0, done.stderr
    slip, joined, _ = done.stdout.split("\n", 2)
    assert slip.startswith("warning: faulty.yaml: optimizer/lr: 1e+06 is unusually large")
    assert joined.startswith("faulty-1: joined the Ray cluster at ")
    log = read(tmp_path)
    assert len(log.trials) == 4
    for trial in log.trials.values():
        if trial.settings["model/width"] != 8:
            assert trial.state is TrialState.FAILED
            assert trial.reason is not None
            assert "the model does not fit into memory" in trial.reason
            assert trial.epochs == 0
        elif trial.settings["optimizer/lr"] == 1e6:
            assert trial.state is TrialState.DIVERGED
            assert trial.reason is not None
            assert trial.reason.endswith(f"at epoch {trial.epochs}")
        else:
            assert trial.state is TrialState.FINISHED
    counts = {state: log.count(state) for state in (TrialState.FAILED, TrialState.DIVERGED)}
    assert all(counts.values())
    assert log.count(TrialState.FINISHED) > 0
    for state, count in counts.items():
        noun = "trial" if count == 1 else "trials"
        assert f"{count} {noun} {state.value}, first" in done.stdout
    runs = mlflow_runs(tmp_path / "results", "tags.`tunebox.kind` = 'trial'")
    assert {run.data.tags["tunebox.trial_id"]: run.data.tags["tunebox.state"] for run in runs} == {
        trial_id: trial.state.value for trial_id, trial in log.trials.items()
    }
    assert all(
        (run.info.status == "FINISHED") == (run.data.tags["tunebox.state"] == "finished")
        for run in runs
    )


def test_a_search_in_which_all_trials_fail_alike_ends_at_once(
    tmp_path: Path, ray_address: str
) -> None:
    done = search(ALL_FAIL, tmp_path, ray_address)
    assert done.returncode == 1
    failed = read(tmp_path).count(TrialState.FAILED)
    assert failed in (3, 4)  # two run at once
    pattern = rf"^{failed} trials failed, first 000[01]: .*train_images.*$"
    assert re.search(pattern, done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr  # it is the user's mistake, not a bug
    assert done.stderr.count("\n") == 1
    expected = "error: the first 3 trials failed in the same way, so the search was stopped: "
    assert done.stderr.startswith(expected)
    assert "train_images" in done.stderr


def test_a_search_in_which_all_trials_raise_alike_ends_at_once_with_a_traceback(
    tmp_path: Path, ray_address: str
) -> None:
    (tmp_path / "parts.py").write_text(PARTS, encoding="utf-8")
    done = search(ALL_RAISE, tmp_path, ray_address)
    assert done.returncode == 1
    log = read(tmp_path)
    assert log.count(TrialState.FAILED) in (3, 4)  # two run at once
    assert len(log.trials) <= 6
    raised = "RuntimeError: it is broken"
    assert all(
        trial.reason is not None and trial.reason.startswith(raised)
        for trial in log.trials.values()
        if trial.state is TrialState.FAILED
    )
    *trace, told = done.stderr.rstrip().split("\n")
    assert trace[0] == "Traceback (most recent call last):"
    assert any(re.search(r'File ".*/tunebox/training/trial_run.py", line', line) for line in trace)
    assert any(line.startswith(raised) for line in trace)
    expected = "error: the first 3 trials failed in the same way, so the search was stopped: "
    assert told.startswith(f"{expected}{raised}")
    kept = (tmp_path / "results" / "faulty-1" / "errors").glob("*.txt")
    assert all(raised in path.read_text(encoding="utf-8") for path in kept)

"""The real command line in processes of its own, and a small search for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run

SEARCH_FILE = """\
# What does each method cost on clean digits?
data: {kind: digits, train_images: 600}
model: {kind: mlp, width: {choice: [16, 32]}, depth: 1, feature_dim: 8}
losses:
  choice:
    clean_only: {cross_entropy: {on: clean}}
    noisy_only:
      cross_entropy: {on: noisy}
      noise: {kind: gaussian, std: {uniform: [0.3, 1.5]}}
    both:
      cross_entropy: {on: both}
      forward: joint
      noise: {kind: gaussian, std: {uniform: [0.3, 1.5]}}
    stability:
      cross_entropy: {on: clean}
      stability: {weight: {log_uniform: [0.01, 2]}}
      noise: {kind: gaussian, std: 1.0}
    ours:
      cross_entropy: {on: clean}
      discriminative: {weight: {log_uniform: [0.05, 5]}, momentum: {choice: [0.0, 0.9]}}
      noise: {kind: gaussian, std: 1.0}
optimizer: {kind: sgd, lr: {log_uniform: [0.02, 0.2]}}
evaluation: {noise: {kind: gaussian, std: 1.0}, num_draws: 2}
search: {trials: 12, min_epochs: 2, max_epochs: 6, reduction_factor: 2, seed: 3}
"""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_tunebox(
    *arguments: str | Path,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    module: str = "tunebox",
) -> subprocess.Popen[str]:
    """Start the command line as the leader of a session, as a terminal does.

    Args:
        *arguments: Of the command line.
        cwd: Its working folder.
        variables: Added to its environment.
        module: The module that runs the command line.
    """
    set_by_others = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "TUNEBOX_OUT")
    environment = {k: v for k, v in os.environ.items() if k not in set_by_others}
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**environment, "COLUMNS": "200", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_tunebox(
    *arguments: str | Path, cwd: Path, timeout: float = 150
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    with start_tunebox(*arguments, cwd=cwd) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def succeed(*arguments: str | Path, cwd: Path) -> str:
    """Run the command line, which must end with code 0, and return what it printed."""
    done = run_tunebox(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def mlflow_runs(out: Path, filter_string: str = "") -> list[Run]:
    """Return the runs in the store of ``out``."""
    from mlflow.tracking import MlflowClient  # here: the quick tests load this file, not MLflow

    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tunebox")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], filter_string, max_results=5000))


def trial_name(run: Run) -> str:
    """Return the id of the trial of a run, or the name of the search: names are search/trial."""
    return str(run.info.run_name).rpartition("/")[2]

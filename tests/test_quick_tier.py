"""``pytest -m quick``: it has tests, and importing them imports neither Ray nor MLflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.mark.slow
def test_quick_tests_are_collected_without_ray_and_mlflow() -> None:
    # tests/conftest.py fails a run that has imported them
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "quick", "--collect-only", "-q"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert {"tests/pareto/test_rungs.py", "tests/spec/test_load.py"} < collected
    assert not [name for name in collected if name.startswith(("tests/engine", "tests/tracking"))]

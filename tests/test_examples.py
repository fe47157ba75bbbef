"""The scripts and the search files in examples/ run as they stand."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command_line import run_tunebox

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def run(script: str, *arguments: Path | str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", EXAMPLES / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_search_is_exported_and_its_front_is_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed = run("search_and_export.py", out)
    assert re.search(r"^6 trials ended after \d+ epochs$", printed, re.MULTILINE)
    correct = re.search(r"^trial \d{4} classifies (\d+)% of 200 digits correctly$", printed, re.M)
    assert correct is not None
    assert int(correct[1]) > 30  # ten classes
    picture = tmp_path / "front.png"
    rows = run("read_the_front.py", out, "example", picture).splitlines()
    assert rows
    assert all(re.fullmatch(r"\d{4}  clean .*%  noisy .*%  \d epochs", row) for row in rows)
    assert picture.stat().st_size > 1000


def test_a_setting_is_trained_and_evaluated(tmp_path: Path) -> None:
    rows = run("train_and_evaluate.py", tmp_path / "out").splitlines()
    assert len(rows) > 5
    assert any(row.startswith("clean") for row in rows)


@pytest.mark.parametrize("folder", ["own_loop", "lightning_loop"])
def test_a_training_loop_of_the_readers_own_is_searched(folder: str, tmp_path: Path) -> None:
    if folder == "lightning_loop" and find_spec("lightning") is None:
        pytest.skip("Lightning is not installed")
    file = EXAMPLES / folder / "search.yaml"
    done = run_tunebox("search", file, "--out", "out", "--address", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^Front of search-1: \d of \d trials, hypervolume ", done.stdout, re.M)
    accuracies = re.findall(r"^\d{4} +(0\.\d+) ", done.stdout, re.M)
    assert accuracies
    assert max(map(float, accuracies)) > 0.7  # ten classes


def test_every_script_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    folders = {path.parent.name for path in EXAMPLES.glob("*/search.yaml")}
    assert folders == {"own_loop", "lightning_loop"}
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(scripts) == 3
    assert all(f'run("{script}"' in text for script in scripts)

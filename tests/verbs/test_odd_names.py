"""A search in a folder whose name means something to a shell, a URI and an HTML page."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.command_line import run_tunebox
from tests.spec.make_spec import FIXED_FILE, changed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

OUT = "a?b%2Fc d'\"$(touch x)<b>`y`"
SEARCH_FILE = changed("lr: 0.1", "lr: {uniform: [0.05, 0.1]}", FIXED_FILE)


def run_as_printed(line: str, home: Path) -> str:
    """Let a shell run a line, in which ``tunebox`` is the program under test."""
    program = f'tunebox() {{ {shlex.quote(sys.executable)} -m tunebox "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", program + line],
        cwd=home,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_search_stays_in_its_folder_and_its_commands_can_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(SEARCH_FILE, encoding="utf-8")
    options = ["--address", "none", "--trials", "2", "--max-epochs", "1", "--epochs", "1"]
    ended = run_tunebox("search", "f.yaml", "--out", OUT, *options, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"f.yaml", OUT}
    assert {path.name for path in (tmp_path / OUT).iterdir()} == {
        *("mlflow.db", "mlartifacts", "f-1")
    }
    with closing(sqlite3.connect(tmp_path / OUT / "mlflow.db")) as store:
        assert {name for (name,) in store.execute("SELECT name FROM runs")} == {"f-1", "f-1/0000"}
    kept = {path.name for path in (tmp_path / OUT / "mlartifacts").rglob("*")}
    assert {"search.yaml", "report.html", "trials.parquet"} <= kept

    lines = [line.removeprefix("next").strip() for line in ended.stdout.splitlines()]
    commands = {line.split()[1]: line for line in lines if line.startswith("tunebox ")}
    assert list(commands) == ["ui", "front", "report", "confirm", "export", "search"]
    for line in commands.values():
        words = shlex.split(line, comments=True)
        assert words[words.index("--out") + 1] == OUT
    assert "Front of f-1: 1 of 1 trials" in run_as_printed(commands["front"], tmp_path)
    exported = run_as_printed(commands["export"], tmp_path).splitlines()
    assert exported[0] == "exported/0000"
    assert shlex.split(exported[1].partition(": ")[2]) == [
        "tunebox",
        "confirm",
        "f-1",
        "--out",
        OUT,
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"f.yaml", OUT, "exported"}

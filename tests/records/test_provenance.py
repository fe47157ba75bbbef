import re
import subprocess
from pathlib import Path

import pytest

import tunebox
from tunebox.records.provenance import git_commit, provenance_tags


def test_versions_are_recorded() -> None:
    tags = provenance_tags()
    assert tags["tunebox.version"] == tunebox.__version__
    for package in ("ray", "optuna", "torch", "mlflow"):
        assert re.match(r"\d+\.\d+", tags[f"tunebox.{package}_version"])


def test_the_commit_is_that_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
    assert "mlflow.source.git.commit" not in provenance_tags()
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    commit = git_commit()
    assert commit is not None
    assert re.fullmatch(r"[0-9a-f]{40}", commit)


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_commit() is None

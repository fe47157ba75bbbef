from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.cli.command import Ended, Run
from tests.records.make_log import make_log, make_spec
from tunebox.cli import main as cli
from tunebox.errors import EXIT_INTERRUPTED
from tunebox.records.search_folder import create_folder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("TUNEBOX_OUT", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return folder


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "argv", ["tunebox", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises((SystemExit, KeyboardInterrupt)) as end:
            cli.main()
        printed = capsys.readouterr()
        code = (end.value.code or 0) if isinstance(end.value, SystemExit) else EXIT_INTERRUPTED
        assert isinstance(code, int)
        return Ended(code, printed.out, printed.err)

    return call


@pytest.fixture
def made_search(home: Path) -> str:
    """The name of a search that is there, without checkpoints."""
    spec = make_spec()
    folder = create_folder(home / "results", "made-1")
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(folder, make_log(12), spec.space.leaves)
    return "made-1"

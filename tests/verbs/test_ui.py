"""``tunebox ui``: on this machine alone, and no password where others can read it."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import free_port
from tunebox.cli import main as cli
from tunebox.verbs import ui


class Started:
    """Stands for the server: notes how it was started, and ends at once."""

    command: list[str]
    environment: dict[str, str]
    pid = 0

    def __init__(self, command: list[str], env: dict[str, str], **_: Any) -> None:
        Started.command, Started.environment = command, env

    def wait(self, _: float = 0) -> int:
        return 0


def start(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr("subprocess.Popen", Started)
    monkeypatch.setattr(ui, "_end_group", lambda _: None)
    monkeypatch.setattr(ui, "_experiment_with_view", lambda *_: "1")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["tunebox", "ui", "--port", str(free_port()), *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def test_the_server_listens_on_this_machine_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").touch()
    store = f"sqlite:///{tmp_path}/mlflow.db"
    start(monkeypatch, "--tracking-uri", store)
    assert Started.command[Started.command.index("--host") + 1] == "127.0.0.1"
    start(monkeypatch, "--tracking-uri", store, "--host", "0.0.0.0")
    assert Started.command[Started.command.index("--host") + 1] == "0.0.0.0"


def test_a_password_is_neither_printed_nor_in_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = "postgresql://me:open-sesame@host/runs"
    start(monkeypatch, "--tracking-uri", store)
    assert Started.environment["MLFLOW_BACKEND_STORE_URI"] == store
    assert "open-sesame" not in " ".join(Started.command)
    assert "open-sesame" not in "".join(capsys.readouterr())

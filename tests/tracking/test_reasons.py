"""What went wrong with MLflow's store is told with its cause, from errors that really happened."""

from __future__ import annotations

import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy.event
from mlflow.exceptions import MlflowException

from tests.command_line import free_port
from tests.recording_server import RecordingServer, recording_server
from tunebox.tracking.client import Store
from tunebox.tracking.reasons import public_reason, store_trouble
from tunebox.tracking.runs import RunState


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as made:
        yield made


def test_a_closed_port() -> None:
    trouble = store_trouble(f"http://127.0.0.1:{free_port()}")
    assert trouble == "nothing listens there (Connection refused): start the server"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (404, "404 Not Found: MLflow is not at this address; check its path"),
        (
            401,
            "401 Unauthorized: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        (502, "502 Bad Gateway: look at the server, and at what stands before it"),
        (500, "500 Internal Server Error: look at the server, and at what stands before it"),
        (200, "what answers there is not MLflow: check the address"),
    ],
)
def test_an_answer_that_is_none_of_mlflow(server: RecordingServer, code: int, reason: str) -> None:
    server.code = code
    assert store_trouble(f"{server.uri}/mlflow") == reason
    assert server.asked == ["POST /mlflow/api/2.0/mlflow/experiments/search"]


def test_an_answer_in_the_form_of_another_program(server: RecordingServer) -> None:
    server.body = b'{"detail": "Not Found"}'
    trouble = store_trouble(server.uri)
    assert trouble == "what answers there is not MLflow: check the address"


def test_what_mlflow_itself_says_is_told(server: RecordingServer) -> None:
    server.code = 403
    server.body = b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'
    assert store_trouble(server.uri) == "PERMISSION_DENIED: Permission denied"


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert store_trouble(uri) == "no answer within 1 s"


def test_a_server_without_encryption(server: RecordingServer) -> None:
    trouble = store_trouble(server.uri.replace("http:", "https:"))
    assert trouble is not None
    assert trouble.startswith("no secure connection ([SSL")
    assert trouble.endswith("): check http or https, and certificates")


def test_a_host_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # where there is no network it takes long
    trouble = store_trouble("http://mlflow.example:5000")
    assert trouble == "its host is not known (Name or service not known): check the address"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_not_the_server(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:secret@{proxy}")
    assert store_trouble(f"{scheme}://mlflow.example:5000") == (
        f"the proxy http://{proxy} fails (Connection refused): "
        "if mlflow.example needs none, add it to no_proxy"
    )


@pytest.mark.parametrize(
    ("scheme", "what"),
    [
        ("http", ", or what is behind it, says 403 Forbidden"),
        ("https", " fails (Tunnel connection failed: 403 Forbidden)"),
    ],
)
def test_a_proxy_that_refuses(
    scheme: str, what: str, server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.code = 403
    monkeypatch.setenv(f"{scheme}_proxy", server.uri)
    assert store_trouble(f"{scheme}://mlflow.example:5000") == (
        f"the proxy {server.uri}{what}: if mlflow.example needs none, add it to no_proxy"
    )
    [asked] = server.asked
    assert "mlflow.example:5000" in asked


def fill(store: Store) -> None:
    """Write runs until the database takes no more."""
    run = RunState(name="r", params={}, tags={}, start_time=0.0, points=[], status="FINISHED")
    for _ in range(100):
        store.create(run, {f"tunebox.{number}": "x" * 4000 for number in range(10)})


def test_a_full_disk(
    tmp_path: Path, make_store: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    uri = make_store(tmp_path)
    store = Store(uri, tmp_path)

    @sqlalchemy.event.listens_for(store._store.engine, "connect")
    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # no more than there are

    store._store.engine.dispose()
    with pytest.raises(MlflowException, match="database or disk is full") as caught:
        fill(store)
    assert "INSERT" in str(caught.value)
    reason = public_reason(caught.value, uri)
    assert reason == "database or disk is full: make room on its disk"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database " * 1000, encoding="utf-8")
    assert store_trouble(f"sqlite:///{tmp_path}/mlflow.db") == (
        "file is not a database: move it away, and a new one is made"
    )


def test_a_folder_in_the_place_of_a_database_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    uri, start = f"sqlite:///{tmp_path}/mlflow.db", time.monotonic()
    said = "unable to open database file: check its rights, and those of its folder"
    assert store_trouble(uri) == said
    with pytest.raises(sqlite3.Error) as caught:
        Store(uri, tmp_path)
    assert public_reason(caught.value, uri) == said
    assert time.monotonic() - start < 20  # MLflow alone takes minutes


def test_a_damaged_database(tmp_path: Path, make_store: Callable[[Path], str]) -> None:
    uri = make_store(tmp_path)
    with (tmp_path / "mlflow.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 300_000)
    assert store_trouble(uri) == (
        "database disk image is malformed: move it away, and a new one is made"
    )


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    uri = f"sqlite:///{tmp_path}/file/mlflow.db"
    with pytest.raises(OSError) as caught:  # noqa: PT011  # which one depends on the system
        Store(uri, tmp_path)
    reason = public_reason(caught.value, uri)
    assert reason.startswith(f"{tmp_path}/file: ")
    assert "Errno" not in reason


def test_a_driver_that_is_not_installed() -> None:
    with pytest.raises(ImportError) as caught:
        __import__("no_such_driver")
    reason = public_reason(caught.value, "mysql://host/db")
    assert reason == "its driver is not installed (No module named 'no_such_driver')"

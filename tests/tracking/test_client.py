"""Which calls that failed may still be carried out, as MLflow's client tells of them."""

import socket
import threading
from collections.abc import Callable

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tunebox.tracking.client import is_unanswered
from tunebox.tracking.stores import responsive_client


def say_nothing(connection: socket.socket) -> None:
    connection.recv(1)


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.close()


def refuse(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "expected"), [(say_nothing, True), (hang_up, True), (refuse, False), (None, False)]
)
def test_only_a_call_without_an_answer_may_still_be_carried_out(
    answer: Callable[[socket.socket], None] | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as server, responsive_client():
        server.bind(("127.0.0.1", 0))  # None: bound, and not listening
        connections: list[socket.socket] = []

        def serve(answer: Callable[[socket.socket], None]) -> None:
            connections.append(server.accept()[0])
            answer(connections[0])

        if answer is not None:
            server.listen()
            threading.Thread(target=serve, args=(answer,), daemon=True).start()
        client = MlflowClient(tracking_uri=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(MlflowException) as raised:
            client.create_run("0")
        for connection in connections:
            connection.close()
    assert is_unanswered(raised.value) is expected

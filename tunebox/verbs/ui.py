"""``tunebox ui``: MLflow's pages on the store that the searches wrote."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.spec.search_settings import default_out
from tunebox.tracking.sqlite_uri import sqlite_file
from tunebox.tracking.stores import (
    front_filter,
    public_uri,
    resolve_tracking_uri,
    ui_address,
    ui_command,
)

_END_SECONDS = 5.0  # for the server to end by itself


def serve(
    host: str,
    port: int,
    out: str | None,
    tracking_uri: str | None,
    note: Callable[[str], None],
) -> int:
    """Serve MLflow's pages until Ctrl-C and return the server's exit code.

    Where MLflow is a server already, note its address instead.

    Raises:
        RecordsError: There is nothing to show, or the port is taken.
    """
    folder = Path(out or default_out())
    uri = resolve_tracking_uri(tracking_uri, folder)
    if uri.startswith("http"):
        note(f"MLflow is served at {public_uri(uri)}")
        note(f"the front: filter by {front_filter}")
        return 0
    database = sqlite_file(uri)
    if database is not None and not database.is_file():
        raise RecordsError(f"no {database} yet: run tunebox search, or name its folder with --out")
    check_port(host, port)
    for line in describe_addresses(host, port, uri, folder):
        note(line)
    return _run(ui_command(folder, host, port), uri)


def describe_addresses(host: str, port: int, uri: str, out: Path) -> list[str]:
    """Return lines on where MLflow's pages show the searches in ``out``, kept in store ``uri``."""
    return [
        f"MLflow at http://{host}:{port}  (Ctrl-C ends it)",
        f"the front: {ui_address(host, port, _experiment_with_view(uri, out))}",
        f"           or filter runs by {front_filter}",
    ]


def _run(command: list[str], uri: str) -> int:
    """Serve the store until the server ends, or until Ctrl-C or SIGTERM ends all its processes."""
    # MLflow's queue of jobs is for its language models: seven processes that we do not need
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    environment["MLFLOW_BACKEND_STORE_URI"] = uri
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end_group(server)


def _end_group(leader: "subprocess.Popen[bytes]") -> None:
    """End ``leader`` and all the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(leader.pid, number)
            leader.wait(_END_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            pass


def check_port(host: str, port: int) -> None:
    """Raise RecordsError if something listens on the port already."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RecordsError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another --port"
            ) from error


def _experiment_with_view(uri: str, out: Path) -> str:
    """Return the id of the experiment of all searches, in which the view of the fronts is saved."""
    from mlflow.tracking import MlflowClient

    from tunebox.tracking.front_view import save_front_view
    from tunebox.tracking.stores import get_or_create_experiment

    client = MlflowClient(tracking_uri=uri)
    experiment_id = get_or_create_experiment(client, uri, out)
    save_front_view(client, experiment_id)
    return experiment_id

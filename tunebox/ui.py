"""``tunebox ui``: MLflow's pages on the store that the searches wrote."""

import subprocess
from pathlib import Path

from tunebox.errors import RecordsError
from tunebox.records.tracking import (
    front_filter,
    public_uri,
    resolve_tracking_uri,
    ui_address,
    ui_command,
)
from tunebox.spec.search_spec import DEFAULT_OUT


def serve(host: str, port: int, out: str | None, tracking_uri: str | None) -> int:
    """Serve MLflow's pages until Ctrl-C and return the server's exit code.

    Where MLflow already is a server, print its address instead.

    Raises:
        RecordsError: There is nothing to show, or the port is taken.
    """
    folder = Path(out or DEFAULT_OUT)
    uri = resolve_tracking_uri(tracking_uri, folder)
    if uri.startswith("http"):
        print(f"MLflow is served at {public_uri(uri)}\nthe front: filter by {front_filter}")
        return 0
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.is_file():
        raise RecordsError(f"no {database} yet: run tunebox search, or name its folder with --out")
    _check_port(host, port)
    print(f"MLflow at http://{host}:{port}  (Ctrl-C ends it)")
    print(f"the front: {ui_address(host, port, _experiment_id(uri, folder))}")
    print(f"           or filter runs by {front_filter}", flush=True)
    try:
        return subprocess.run(ui_command(uri, folder, host, port), check=False).returncode
    except KeyboardInterrupt:
        return 0


def _check_port(host: str, port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RecordsError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another --port"
            ) from error


def _experiment_id(uri: str, out: Path) -> str:
    from mlflow.tracking import MlflowClient

    from tunebox.records.tracking import get_or_create_experiment

    return get_or_create_experiment(MlflowClient(tracking_uri=uri), uri, out)

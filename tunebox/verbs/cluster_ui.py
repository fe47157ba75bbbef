"""``tunebox ui --cluster``: MLflow's web pages on the head, through an SSH tunnel."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tunebox.errors import ClusterError
from tunebox.remote.cluster_file import find_head
from tunebox.remote.head import Tunnel
from tunebox.remote.remote_search import ClusterStorage, read_storage
from tunebox.remote.retry import Retry
from tunebox.tracking.reasons import store_trouble
from tunebox.tracking.stores import public_uri
from tunebox.verbs.ui import check_port, describe_addresses

_HOST = "127.0.0.1"


def tunnel_to_pages(cluster_file: str, port: int, note: Callable[[str], None]) -> None:
    """Forward a local port to the cluster's MLflow until Ctrl-C, and note its addresses.

    Raises:
        TuneboxError: The cluster does not run, has no MLflow server, or the port is taken.
    """
    head = find_head(cluster_file)
    check_port(_HOST, port)  # before steps that take seconds
    storage = read_storage(head)
    server, server_port = _server(storage)
    open_tunnel = partial(storage.head.tunnel, port=server_port, host=server, local_port=port)
    with open_tunnel():
        _check_pages(storage, f"http://{_HOST}:{port}")
        for line in describe_addresses(_HOST, port, f"http://{_HOST}:{port}", Path(storage.out)):
            note(line)
    retry = Retry(note)
    with suppress(KeyboardInterrupt):
        while True:
            retry.call(partial(_hold_open, open_tunnel))


def _server(storage: ClusterStorage) -> tuple[str, int]:
    """Return host and port of MLflow, as seen from the head."""
    server = urlsplit(storage.tracking_uri)
    if server.scheme != "http" or server.hostname is None:
        raise ClusterError(
            f"MLFLOW_TRACKING_URI is {public_uri(storage.tracking_uri)!r} on the head "
            f"{storage.head.address}, which is no MLflow server that a tunnel leads to"
        )
    return server.hostname, server.port or 80


def _check_pages(storage: ClusterStorage, uri: str) -> None:
    """Raise ClusterError unless MLflow answers through the tunnel."""
    trouble = store_trouble(uri)
    if trouble is not None:
        raise ClusterError(
            f"MLflow does not answer on the head {storage.head.address} at "
            f"{public_uri(storage.tracking_uri)} ({trouble}); start it there, or with: "
            f"{storage.head.start_command}"
        )


def _hold_open(open_tunnel: Callable[[], AbstractContextManager[Tunnel]]) -> None:
    with open_tunnel() as tunnel:
        tunnel.process.wait()

"""``tunebox ui --cluster``: MLflow's pages on the head, through a tunnel."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from tunebox.cluster.head import Tunnel, find_head
from tunebox.cluster.patience import Patience
from tunebox.cluster.site import Site, look_at
from tunebox.errors import ClusterError
from tunebox.records.store_check import store_trouble
from tunebox.records.tracking import public_uri
from tunebox.ui import check_port, print_addresses

_HOST = "127.0.0.1"


def tunnel_to_pages(cluster_file: str, port: int, console: Console) -> None:
    """Lead a port of this machine to the cluster's MLflow until Ctrl-C, and print its addresses.

    Raises:
        TuneboxError: The cluster does not run, has no MLflow server, or the port is taken.
    """
    head = find_head(cluster_file)
    check_port(_HOST, port)  # before anything that takes seconds
    site = look_at(head)
    server, server_port = _server(site)
    open_tunnel = partial(site.head.tunnel, port=server_port, host=server, local_port=port)
    with open_tunnel():
        _check_pages(site, f"http://{_HOST}:{port}")
        print_addresses(_HOST, port, f"http://{_HOST}:{port}", Path(site.out))
    patience = Patience(console)
    with suppress(KeyboardInterrupt):
        while True:
            patience.until_it_works(partial(_lead, open_tunnel))


def _server(site: Site) -> tuple[str, int]:
    """Return host and port of MLflow, as the head names them."""
    server = urlsplit(site.tracking_uri)
    if server.scheme != "http" or server.hostname is None:
        raise ClusterError(
            f"MLFLOW_TRACKING_URI is {public_uri(site.tracking_uri)!r} on the head "
            f"{site.head.address}, which is no MLflow server that a tunnel leads to"
        )
    return server.hostname, server.port or 80


def _check_pages(site: Site, uri: str) -> None:
    """Raise ClusterError unless MLflow answers through the tunnel."""
    trouble = store_trouble(uri)
    if trouble is not None:
        raise ClusterError(
            f"MLflow does not answer on the head {site.head.address} at "
            f"{public_uri(site.tracking_uri)} ({trouble}); start it there, or with: "
            f"ray up {site.head.cluster_file}"
        )


def _lead(open_tunnel: Callable[[], AbstractContextManager[Tunnel]]) -> None:
    with open_tunnel() as tunnel:
        tunnel.process.wait()

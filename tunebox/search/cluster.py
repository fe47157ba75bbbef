"""Join a Ray cluster, or start Ray on this machine."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._private import ray_constants

import tunebox
from tunebox.errors import ClusterError

# Large blocks stay with the process instead of going back to the system after every batch:
# measured 15 % more images per second on CPU. Read when a process starts.
_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
}
_LOCAL_OBJECT_STORE_BYTES = 200_000_000  # images reach the trials through files, not through Ray
_CONNECT_SECONDS = 5.0


@contextmanager
def connect(address: str | None) -> Iterator[str]:
    """Join the cluster at ``address`` or start Ray on this machine.

    Without an address that is the cluster in the variable ``RAY_ADDRESS``, else one that
    ``ray start`` made on this machine, else a new one; ``local`` is a new one in any case and
    ``auto`` never. The private Ray of another program is never joined: it ends when that program
    does.

    Gives one line that says what was done. What was joined is left and what was started is
    stopped afterwards, unless this process had Ray before.

    Raises:
        ClusterError: There is no cluster at the address, or none for ``auto``.
    """
    if ray.is_initialized():
        yield f"uses the Ray of this process ({_resources()})"
        return
    try:
        yield _init(_address(address))
    finally:
        ray.shutdown()


def is_to_start(address: str | None) -> bool:
    """Return whether `connect` would start Ray on this machine."""
    return not ray.is_initialized() and _is_new(_address(address))


def _address(given: str | None) -> str | None:
    return given or os.environ.get("RAY_ADDRESS") or None


def _is_new(address: str | None) -> bool:
    return address == "local" or (address is None and not _is_started_here())


def _init(address: str | None) -> str:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "configure_logging": True,
    }
    if address == "auto" and not _is_started_here():
        raise ClusterError(
            f"no Ray runs on {socket.gethostname()}; start it with: ray up FILE (a cluster), or "
            "ray start --head (this machine)"
        )
    checkout = _checkout()
    if not _is_new(address):
        # Ray cannot make an environment with an empty list of modules
        modules = {} if checkout is None else {"py_modules": [str(checkout)]}
        options["runtime_env"] = {"env_vars": _MALLOC, **modules}
        return _join(None if address == "auto" else address, options)
    path = {} if checkout is None else {"PYTHONPATH": str(checkout.parent)}
    options["runtime_env"] = {"env_vars": {**_MALLOC, **path}}
    with _on_loopback():
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
            **options,
        )
    return f"started Ray on this machine ({_resources()})"


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have the servers of a Ray that starts listen on 127.0.0.1, as on macOS and Windows.

    On Linux Ray has no setting for it: it takes the address of the network even for 127.0.0.1.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _join(address: str | None, options: dict[str, Any]) -> str:
    """Join the cluster at ``address``; None: the one of ``ray start``, with Ray's token for it."""
    try:
        if address is not None:
            _check_listens(address)
        ray.init(address=address, **options)
    # Ray ends the process when it gets no right answer
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address or 'the address of ray start'!r}; check "
            "--address and RAY_ADDRESS (a cluster that wants a token needs RAY_AUTH_MODE=token), "
            "or give --address local to start Ray on this machine"
        ) from error
    return f"joined the Ray cluster at {ray.get_runtime_context().gcs_address} ({_resources()})"


def _is_started_here() -> bool:
    """Return whether the cluster that ``ray start`` made on this machine is still there."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    try:
        address = (Path(folder) / "ray" / "ray_current_cluster").read_text().strip()
        _check_listens(address)
    except (OSError, ValueError):
        return False
    return True


def _check_listens(address: str) -> None:
    """Raise OSError or ValueError when nothing listens: Ray itself would try for two minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"not HOST:PORT: {address!r}")
    socket.create_connection((parts.hostname, parts.port), _CONNECT_SECONDS).close()


def _resources() -> str:
    total = ray.cluster_resources()
    return f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs"


def _checkout() -> Path | None:
    """Return the folder of the tunebox that this process runs, None if it is an installed one.

    Ray carries it to the workers on all nodes: its path need not be there, and a node that has a
    tunebox of its own gets this one.
    """
    package = Path(tunebox.__file__).parent
    return None if "site-packages" in package.parts else package

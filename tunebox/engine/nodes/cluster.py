"""Join a Ray cluster, or start Ray on this machine."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._private import ray_constants

import tunebox
from tunebox.engine.nodes.private_ray import private_ray
from tunebox.errors import ClusterError, describe_os_error, first_line

# The process keeps freed blocks instead of returning them to the system after every batch: 15 %
# more images per second on a CPU, measured. Those of 24 MB or more go back all the same, and the
# heap grows by no more than 16 MB at a time, since large blocks break into pieces that fit no later
# one: a trial with large images would take 1 GB more. Read when a process starts.
WORKER_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "25165824",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "16777216",
}
_LOCAL_OBJECT_STORE_BYTES = 200_000_000  # images reach the trials through files, not through Ray
_CONNECT_SECONDS = 5.0
_QUIET: dict[str, Any] = {
    "log_to_driver": False,
    "logging_level": "ERROR",
    "configure_logging": True,
}


@contextmanager
def connect(address: str | None) -> Iterator[str]:
    """Join the cluster at ``address`` or start Ray on this machine.

    Without an address this is the cluster of the variable ``RAY_ADDRESS``, else one that ``ray
    start`` made on this machine, else a new Ray. ``local`` always starts a new Ray, ``auto`` never
    does. The private Ray of another program is never joined, since it ends with that program.

    Yields one line that describes what was done. At the end this process leaves the cluster that it
    joined, or stops the Ray that it started, unless Ray was connected before.

    Raises:
        ClusterError: No cluster answers at the address, there is none for ``auto``, or Ray cannot
            be started.
    """
    if ray.is_initialized():
        yield f"uses the Ray of this process ({_resources()})"
        return
    address = _address(address)
    is_new = _is_new(address)
    with private_ray() if is_new else nullcontext():
        try:
            yield _start() if is_new else _join(address)
        finally:
            ray.shutdown(wait_for_processes=True)


def would_start_ray(address: str | None) -> bool:
    """Return whether `connect` would start Ray on this machine."""
    return not ray.is_initialized() and _is_new(_address(address))


def _address(given: str | None) -> str | None:
    return given or os.environ.get("RAY_ADDRESS") or None


def _is_new(address: str | None) -> bool:
    return address == "local" or (address is None and not _is_started_here())


def _start() -> str:
    """Start a Ray of this process alone."""
    checkout = _checkout()
    path = {} if checkout is None else {"PYTHONPATH": str(checkout.parent)}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        with _on_loopback():
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
                runtime_env={"env_vars": {**WORKER_MALLOC, **path}},
                **_QUIET,
            )
    except (Exception, SystemExit) as error:  # Ray raises both of them as they are
        reason = describe_os_error(error) if isinstance(error, OSError) else first_line(error)
        raise ClusterError(
            f"Ray does not start on this machine ({reason}); --address none runs the trials "
            "without it, one after the other"
        ) from error
    return f"started Ray on this machine ({_resources()})"


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Make a Ray that starts listen on 127.0.0.1 only, as it does on macOS and Windows.

    On Linux there is no setting: Ray uses the network address even when told 127.0.0.1.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _join(address: str | None) -> str:
    """Join the cluster at ``address``, or for ``auto`` the one of ``ray start``, with its token."""
    if address == "auto" and not _is_started_here():
        raise ClusterError(
            f"no Ray runs on {socket.gethostname()}; start it with: ray up FILE (a cluster), or "
            "ray start --head (this machine)"
        )
    checkout = _checkout()
    # Ray cannot make an environment with an empty list of modules
    modules = {} if checkout is None else {"py_modules": [str(checkout)]}
    address = None if address == "auto" else address
    try:
        if address is not None:
            _check_listens(address)
        ray.init(address=address, runtime_env={"env_vars": WORKER_MALLOC, **modules}, **_QUIET)
    # Ray raises SystemExit after an unexpected answer
    except (OSError, ValueError, RuntimeError, SystemExit) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address or 'the address of ray start'!r}; check "
            "--address and RAY_ADDRESS (a cluster that wants a token needs RAY_AUTH_MODE=token), "
            "or give --address local to start Ray on this machine"
        ) from error
    return f"joined the Ray cluster at {ray.get_runtime_context().gcs_address} ({_resources()})"


def _is_started_here() -> bool:
    """Return whether a cluster that ``ray start`` made on this machine still runs."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    try:
        address = (Path(folder) / "ray" / "ray_current_cluster").read_text().strip()
        _check_listens(address)
    except (OSError, ValueError):
        return False
    return True


def _check_listens(address: str) -> None:
    """Raise OSError or ValueError if nothing listens; Ray itself would try for two minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"not HOST:PORT: {address!r}")
    socket.create_connection((parts.hostname, parts.port), _CONNECT_SECONDS).close()


def _resources() -> str:
    total = ray.cluster_resources()
    return f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs"


def _checkout() -> Path | None:
    """Return the package folder if this process runs a checkout, None for an installed tunebox.

    Ray sends the folder to the workers on all nodes, where it wins over an installed tunebox.
    """
    package = Path(tunebox.__file__).parent
    return None if "site-packages" in package.parts else package

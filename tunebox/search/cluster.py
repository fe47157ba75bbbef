"""Join a Ray cluster, or start Ray on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

import tunebox
from tunebox.errors import ClusterError
from tunebox.spec.search_spec import SearchSettings

# Large blocks stay with the process instead of going back to the system after every batch:
# measured 15 % more images per second on CPU. Read when a process starts.
_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
}
_LOCAL_OBJECT_STORE_BYTES = 200_000_000  # images reach the trials through files, not through Ray


@contextmanager
def connect(address: str | None) -> Iterator[str]:
    """Join the cluster at ``address``, else one that runs here, else start Ray on this machine.

    Gives one line that says what was done. What was joined is left and what was started is
    stopped afterwards, unless this process had Ray before.

    Raises:
        ClusterError: There is no cluster at ``address``.
    """
    if ray.is_initialized():
        yield f"uses the Ray of this process ({_resources()})"
        return
    try:
        yield _init(address)
    finally:
        ray.shutdown()


def _init(address: str | None) -> str:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "configure_logging": True,
        "runtime_env": {"env_vars": {**_MALLOC, **_checkout_path()}},
    }
    try:
        ray.init(address=address or "auto", **options)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        if address is not None:
            raise ClusterError(
                f"no Ray cluster answers at {address!r}; check --address, or leave it out to "
                "start Ray on this machine"
            ) from error
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_LOCAL_OBJECT_STORE_BYTES,
            **options,
        )
        return f"started Ray on this machine ({_resources()})"
    return f"joined the Ray cluster at {ray.get_runtime_context().gcs_address} ({_resources()})"


def check_resources(search: SearchSettings) -> None:
    """Raise ClusterError if not a single trial fits on any node of the cluster."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for resource, option, asked in (
        ("CPU", "--cpus-per-trial", search.cpus_per_trial),
        ("GPU", "--gpus-per-trial", search.gpus_per_trial),
    ):
        largest = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if asked > largest:
            raise ClusterError(
                f"{option} {asked:g}: the largest node of the cluster has {largest:g} {resource}s; "
                f"ask for at most that"
            )


def warm_up(search: SearchSettings) -> None:
    """Import torch and the training code in as many worker processes as trials run at once.

    Ray drops an actor that is still starting when another one gets free. Trials that last
    seconds would so run one at a time for ever, since an actor takes seconds to import torch;
    in a warm worker process it starts at once.
    """
    total = ray.cluster_resources()
    slots = total.get("CPU", 0) / search.cpus_per_trial
    if search.gpus_per_trial:
        slots = min(slots, total.get("GPU", 0) / search.gpus_per_trial)
    workers = int(min(slots, search.trials, search.max_concurrent or slots))
    task = _import_training.options(
        num_cpus=search.cpus_per_trial,
        num_gpus=search.gpus_per_trial,
        scheduling_strategy="SPREAD",
    )
    ray.get([task.remote() for _ in range(workers)])


@ray.remote
def _import_training() -> None:
    import time

    import tunebox.search.trainable  # noqa: F401

    time.sleep(0.2)  # keep the slot, so that each task has a worker of its own


def _resources() -> str:
    total = ray.cluster_resources()
    return f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs"


def _checkout_path() -> dict[str, str]:
    """Let workers import the tunebox that this process runs, when it is not installed."""
    package = Path(tunebox.__file__).parent
    if "site-packages" in package.parts:
        return {}
    return {"PYTHONPATH": str(package.parent)}

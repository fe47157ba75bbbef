"""What a node has, found out there. Ray carries these functions to nodes without tunebox too.

So nothing of tunebox is imported here, and nothing but the standard library with the module.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import TypedDict

# the name of a package, ``python`` or ``code``: the version
Software = dict[str, str | None]


class Findings(TypedDict):
    """What `examine` returns."""

    software: Software
    gpus: list[dict[str, str]]
    gpus_of_torch: int


def software() -> Software:
    """Return the versions of what trials run on; None: not there.

    ``code`` stands for the content of tunebox's modules: two checkouts of one version differ.
    """
    versions: Software = {"python": platform.python_version()}
    for package in ("ray", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    spec = importlib.util.find_spec("tunebox")
    if spec is None or spec.origin is None:
        return {**versions, "tunebox": None, "code": None}
    import tunebox

    folder = Path(spec.origin).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return {**versions, "tunebox": tunebox.__version__, "code": digest.hexdigest()[:12]}


def gpus() -> list[dict[str, str]]:
    """Return ``name``, ``memory`` and ``driver`` of each GPU that the system sees."""
    keys = ("name", "memory", "driver")
    query = "--query-gpu=name,memory.total,driver_version"
    command = ["nvidia-smi", query, "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [dict(zip(keys, row, strict=True)) for row in rows if len(row) == len(keys)]


def num_gpus_of_torch() -> int:
    """Return how many GPUs torch can use; 0 where it is absent or its start takes too long."""
    # in a process of its own: Ray hides the GPUs from a task that asks for none
    environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    program = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    command = [sys.executable, "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    except subprocess.SubprocessError:
        return 0
    return int(done.stdout)


def clock() -> float:
    """Return the time of the node, in seconds since 1970."""
    return time.time()


def storage_trouble(folder: str, token: str) -> str | None:
    """Return why ``folder`` is not the one that the driver marked with ``token``; None: it is.

    Leaves a file with the name of the node in it, for the driver to look for.
    """
    import ray

    place = Path(folder)
    try:
        if (place / "token").read_text() != token:
            return "another folder is there"
        (place / str(ray.get_runtime_context().get_node_id())).write_text(token)
    except FileNotFoundError:
        return "what the driver wrote is not there"
    except OSError as error:
        return f"it cannot be read and written there ({error.strerror})"
    return None


def examine() -> Findings:
    """Return what the node has, as far as a search needs it, its storage and data apart."""
    seen = gpus()
    return {
        "software": software(),
        "gpus": seen,
        "gpus_of_torch": num_gpus_of_torch() if seen else 0,
    }


def launchable_types(gcs_port: str) -> list[dict[str, float]]:
    """Return what a node has of each type that the autoscaler can launch; to be asked of the head.

    Empty without an autoscaler; ``{}`` stands for a type of which that is not known before.
    """
    import psutil  # Ray brings it

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        options = dict(
            word.split("=", 1) for word in words if word.startswith("--") and "=" in word
        )
        is_monitor = any(Path(word).name == "monitor.py" for word in words)
        if is_monitor and options.get("--gcs-address", "").endswith(f":{gcs_port}"):
            path = options.get("--autoscaling-config")
            return [] if path is None else _launched_by(Path(path).expanduser())
    # With KubeRay's autoscaler the head has no monitor: it runs in a container of its own, and
    # what it starts is known to Kubernetes alone.
    return [{}] if os.environ.get("RAY_USAGE_STATS_KUBERAY_IN_USE") == "1" else []


def _launched_by(path: Path) -> list[dict[str, float]]:
    import yaml  # Ray brings it

    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "worker_ips" in config["provider"]:
        return []  # machines that are there already: what has not joined may be off for good
    most = config.get("max_workers", 0)
    return [
        dict(node_type.get("resources") or {})
        for node_type in config.get("available_node_types", {}).values()
        if min(most, node_type.get("max_workers", most)) > 0
    ]

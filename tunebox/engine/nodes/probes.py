"""Functions that run on a node and report what it has.

Ray sends them by value, to nodes without tunebox too: the module imports the standard library
only, and its functions import other packages themselves.
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

# version by package name; also ``python`` and ``code``
Software = dict[str, str | None]


class NodeFacts(TypedDict):
    """Result of `node_facts`."""

    software: Software
    gpus: list[dict[str, str]]  # as `gpus` returns them
    num_torch_gpus: int


def software() -> Software:
    """Return the versions of the software that trials need, None for an absent package.

    ``code`` is a digest of tunebox's modules: it differs between two checkouts of one version.
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


def num_torch_gpus() -> int:
    """Return how many GPUs torch can use, 0 if it is absent or takes too long to import."""
    # in a process of its own: Ray hides the GPUs from a task that requests none
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


def memory() -> dict[str, int]:
    """Return the bytes of memory ``total`` and ``used`` of the node, or of its container."""
    import psutil  # Ray brings it

    host = psutil.virtual_memory()
    found = {"total": int(host.total), "used": int(host.total - host.available)}
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return found
    if limit < found["total"]:
        files = dict(line.split() for line in lines).get("inactive_file", "0")
        found = {"total": limit, "used": used - int(files)}
    return found


def clock() -> float:
    """Return the node's time in seconds since the epoch."""
    return time.time()


def storage_error(folder: str, token: str) -> str | None:
    """Return why ``folder`` is not the one that the driver marked with ``token``, None if it is.

    Writes a file named by the node's id into the folder, for the driver to check.
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


def node_facts() -> NodeFacts:
    """Return the software and the GPUs of the node."""
    seen = gpus()
    return {
        "software": software(),
        "gpus": seen,
        "num_torch_gpus": num_torch_gpus() if seen else 0,
    }


def launchable_node_types(gcs_port: str) -> list[dict[str, float]]:
    """Return the resources of each node type that the autoscaler can launch; runs on the head.

    The list is empty without an autoscaler. ``{}`` stands for a node type whose resources are not
    known before it is launched.

    Args:
        gcs_port: Port of Ray's GCS, which tells this cluster from others on the same host.
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
            return [] if path is None else _node_types_in(Path(path).expanduser())
    # With KubeRay's autoscaler the head has no monitor process: the autoscaler runs in its own
    # container, and only Kubernetes knows which node types it can launch.
    return [{}] if os.environ.get("RAY_USAGE_STATS_KUBERAY_IN_USE") == "1" else []


def _node_types_in(path: Path) -> list[dict[str, float]]:
    import yaml  # Ray brings it

    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "worker_ips" in config["provider"]:
        return []  # existing machines: one that has not joined may never do so
    most = config.get("max_workers", 0)
    return [
        dict(node_type.get("resources") or {})
        for node_type in config.get("available_node_types", {}).values()
        if min(most, node_type.get("max_workers", most)) > 0
    ]

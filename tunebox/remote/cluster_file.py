"""The cluster file of ``ray up``: find the running head and how to log in there."""

import contextlib
import io
import reprlib
from collections.abc import Callable, Mapping
from glob import escape
from pathlib import Path
from typing import Any, TypeVar

from tunebox.errors import ClusterError, first_line, reading
from tunebox.remote.head import Head, quiet_ray, start_command
from tunebox.spec.yaml_source import load_yaml

_Answer = TypeVar("_Answer")
_OPTIONAL: dict[str, type] = {  # what else is read, and what it must be where it is there
    "auth/ssh_private_key": str,
    "auth/ssh_proxy_command": str,
    "provider/head_ip": str,
    "provider/region": str,
    "provider/key_pair": dict,
    "docker": dict,
}


def find_head(cluster_file: str) -> Head:
    """Return the head of the cluster that ``ray up cluster_file`` started.

    Raises:
        ClusterError: The file is missing or not a cluster file, the cluster does not run, or its
            SSH key is not on this machine.
    """
    config = _read(cluster_file)
    head = Head(
        cluster_file=cluster_file,
        address=_ask_ray(cluster_file, lambda: _address(cluster_file, config)),
        user=config["auth"]["ssh_user"],
        keys=_keys(cluster_file, config),
        proxy_command=config["auth"].get("ssh_proxy_command"),
    )
    with reading(cluster_file, ClusterError, problem="cannot be used"):
        str(head.login)  # raises for what ssh would misread
    return head


def _read(cluster_file: str) -> dict[str, Any]:
    """Return the content of the file, after checking the keys that tunebox and Ray need."""
    with reading(cluster_file, ClusterError):
        content = Path(cluster_file).read_bytes()
    with reading(cluster_file, ClusterError, problem="is not YAML"):
        config: dict[str, Any] = load_yaml(content.decode())
    wanted = {"cluster_name": str, "provider": dict, "auth": dict}
    for key, kind in wanted.items():
        if not isinstance(config, dict) or not isinstance(config.get(key), kind):
            raise ClusterError(
                f"{cluster_file}: no {key}; give the file that the cluster was started "
                f"with: {start_command(cluster_file)}"
            )
    for section, key in (("provider", "type"), ("auth", "ssh_user")):
        if not isinstance(config[section].get(key), str):
            raise ClusterError(f"{cluster_file}: no {section}/{key}; see ray up")
    for path, needed in _OPTIONAL.items():
        section, _, key = path.partition("/")
        value = (config.get(section) or {}).get(key) if key else config.get(section)
        if value is not None and not isinstance(value, needed):
            what = "text" if needed is str else "settings"
            raise ClusterError(f"{cluster_file}: {path}: needs {what}, got {reprlib.repr(value)}")
    if (config.get("docker") or {}).get("container_name"):
        raise ClusterError(
            f"{cluster_file}: docker/container_name: tunebox must be installed on the head "
            "itself; leave docker out"
        )
    return config


def _address(cluster_file: str, config: Mapping[str, Any]) -> str:
    provider = config["provider"]
    if provider["type"] == "local" and provider.get("head_ip"):
        return str(provider["head_ip"])  # Ray itself knows it only where ``ray up`` ran
    from ray.autoscaler.sdk import get_head_node_ip

    return str(get_head_node_ip(cluster_file))


def _keys(cluster_file: str, config: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the SSH key of the file, else the keys that ``ray up`` made for the cloud.

    They are found by the names that Ray gives to keys. Asking Ray is no option: without a key it
    makes a new pair, and the next ``ray up`` would start another head with it.
    """
    auth, provider = config["auth"], config["provider"]
    if auth.get("ssh_private_key"):
        with reading(cluster_file, ClusterError, problem="cannot be used"):  # ~nobody-here/key
            return (Path(auth["ssh_private_key"]).expanduser(),)
    if provider["type"] == "local":
        return ()
    made = (provider.get("key_pair") or {}).get("key_name")
    if not isinstance(made, str | None):
        raise ClusterError(f"{cluster_file}: provider/key_pair/key_name: needs text")
    pattern = escape(made) if made else f"ray-autoscaler_*{escape(str(provider.get('region')))}"
    there = Path("~/.ssh").expanduser().glob(f"{pattern}*")
    found = tuple(sorted(path for path in there if path.suffix != ".pub"))
    if not found:
        raise ClusterError(
            f"{cluster_file}: the key of the cluster is not on this machine: no "
            f"~/.ssh/{pattern}*; copy it from the machine on which ray up was run"
        )
    return found


def _ask_ray(cluster_file: str, ask: Callable[[], _Answer]) -> _Answer:
    """Return the result of ``ask``, without the lines that Ray prints."""
    silent = io.StringIO()
    try:
        with quiet_ray(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            return ask()
    except (Exception, SystemExit) as error:  # each cloud's library raises its own errors
        raise ClusterError(
            f"{cluster_file}: no running head found ({first_line(error)}); start it with: "
            f"{start_command(cluster_file)}"
        ) from error

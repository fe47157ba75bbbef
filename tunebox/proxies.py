"""This machine is reached directly, whatever proxy the environment names for the rest."""

import os
from collections.abc import MutableMapping

# 0.0.0.0 is what a server prints that listens on all addresses; ranges are not known everywhere
_HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "127.0.0.0/8")
_NAMES = ("no_proxy", "NO_PROXY")  # some programs read one of them, and some the other first
_OF_GRPC = "no_grpc_proxy"  # where it is set, gRPC does not read the others


def reach_this_machine_directly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add the addresses of this machine to ``no_proxy`` if ``environment`` names a proxy.

    Ray, MLflow and tunnels to a cluster listen there, for this process and those that it starts. A
    proxy could not reach them, and would see what is sent. What the user has in ``no_proxy`` stays.
    """
    has_proxy = any(
        value
        for name, value in environment.items()
        if name.lower().endswith("_proxy") and name.lower() not in (*_NAMES, _OF_GRPC)
    )  # without one nothing is set: on macOS the proxies of the system settings would be ignored
    if not has_proxy:
        return
    given = [environment.get(name) for name in _NAMES]
    for name, own, other in zip(_NAMES, given, reversed(given), strict=True):
        environment[name] = _with_this_machine(own or other or "")
    if environment.get(_OF_GRPC):
        environment[_OF_GRPC] = _with_this_machine(environment[_OF_GRPC])


def _with_this_machine(hosts: str) -> str:
    if hosts.strip() == "*":  # no proxy at all, as long as nothing else is said
        return hosts
    listed = [host for host in map(str.strip, hosts.split(",")) if host]
    return ",".join([*listed, *(host for host in _HERE if host not in listed)])

"""What a trial asks of a node, and whether there is such a node."""

from collections.abc import Iterable

from tunebox.errors import ClusterError
from tunebox.search.autoscaler import launchable
from tunebox.search.nodes import Resources, alive_nodes, has_room
from tunebox.spec.search_spec import SearchSettings

_OPTIONS = {"CPU": "--cpus-per-trial", "GPU": "--gpus-per-trial"}


def asked_by_a_trial(search: SearchSettings) -> dict[str, float]:
    """Return what a trial asks of its node, by Ray's names."""
    return {"CPU": search.cpus_per_trial, "GPU": search.gpus_per_trial}


def check_room(asked: Resources) -> str | None:
    """Return None if a trial fits on a node when nothing else runs there.

    Else, where the autoscaler can launch such a node, a line that says that trials wait for it.

    Raises:
        ClusterError: A trial fits on no node that is there or can be.
    """
    nodes = [node.resources for node in alive_nodes()]
    if any(has_room(node, asked) for node in nodes):
        return None
    types = launchable()
    if any(not known or has_room(known, asked) for known in types):
        return "no node has room for a trial yet: trials wait for the autoscaler to start one"
    raise ClusterError(_too_much(asked, [*nodes, *types]))


def _too_much(asked: Resources, nodes: Iterable[Resources]) -> str:
    for resource, option in _OPTIONS.items():
        largest = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if asked[resource] > largest:
            return (
                f"{option} {asked[resource]:g}: the largest node of the cluster has {largest:g} "
                f"{resource}s; ask for at most that"
            )
    wanted = " and ".join(f"{amount:g} {resource}s" for resource, amount in asked.items())
    return f"no node of the cluster has {wanted} together; ask for less of one of them"

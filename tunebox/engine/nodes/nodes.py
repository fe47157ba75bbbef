"""The nodes of the cluster that this process has joined, and one task on each of them."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tunebox.engine.nodes import probes
from tunebox.errors import first_line

# a node without tunebox must be able to unpickle the probes, to report that it has none
cloudpickle.register_pickle_by_value(probes)

Value = TypeVar("Value")
Resources = Mapping[str, float]  # amount by Ray's name of a resource, such as {"CPU": 1.0}


@dataclass(frozen=True)
class Node:
    """A node that is alive.

    Attributes:
        node_id: Ray's id of the node.
        name: Host name, followed by a part of the id where several nodes share a host.
        resources: Total resources, such as ``{"CPU": 8.0, "GPU": 1.0}``.
    """

    node_id: str
    name: str
    resources: Resources = field(compare=False)

    def fits(self, request: Resources) -> bool:
        """Return whether ``request`` fits on the node when nothing else runs there."""
        return fits(request, self.resources)

    def capacity(self, request: Resources) -> int:
        """Return how many times ``request`` fits on the node when nothing else runs there."""
        ratios = (
            self.resources.get(name, 0.0) / amount for name, amount in request.items() if amount
        )
        return int(min(ratios) + 1e-6)  # 1 / 0.1 / 10 is a little less than 1


@dataclass(frozen=True)
class NodeResult(Generic[Value]):
    """Result of a task on a node: its value, or one line that says why there is none."""

    node: Node
    value: Value | None
    error: str | None


def alive_nodes() -> list[Node]:
    """Return the nodes that are alive: the head first, the others sorted by name."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    on_host = Counter(node["NodeManagerHostname"] for node in alive)
    nodes = []
    for node in alive:
        node_id, name = node["NodeID"], node["NodeManagerHostname"]
        if on_host[name] > 1:
            name = f"{name}/{node_id[:6]}"
        nodes.append(Node(node_id, name, node["Resources"]))
    return sorted(nodes, key=lambda node: (not _is_head(node), node.name))


def fits(request: Resources, available: Resources) -> bool:
    """Return whether ``request`` fits into ``available``, where an absent resource counts as 0."""
    return all(available.get(name, 0.0) >= amount for name, amount in request.items())


def driver_node_id() -> str:
    """Return Ray's id of the node on which this process runs."""
    return str(ray.get_runtime_context().get_node_id())


def run_on_nodes(
    nodes: Sequence[Node], function: Callable[..., Value], *arguments: Any, timeout: float
) -> list[NodeResult[Value]]:
    """Run ``function(*arguments)`` on all of ``nodes`` at the same time, even on busy ones.

    Args:
        nodes: Nodes to run on.
        function: Function to run. It requests no CPU, so it takes none from the trials.
        arguments: Arguments of the function, the same on each node.
        timeout: Seconds after which a node without a result counts as one that does not answer.

    Returns:
        One result per node, in the order of ``nodes``. An exception of ``function`` becomes the
        result's ``error``.
    """
    task = ray.remote(function)
    references = [
        task.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        ).remote(*arguments)
        for node in nodes
    ]
    deadline = time.monotonic() + timeout
    return [
        _result(node, reference, deadline)
        for node, reference in zip(nodes, references, strict=True)
    ]


def _result(node: Node, reference: Any, deadline: float) -> NodeResult[Any]:
    try:
        left = max(0.0, deadline - time.monotonic())
        return NodeResult(node, ray.get(reference, timeout=left), None)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        return NodeResult(node, None, "does not answer")
    except ray.exceptions.RayTaskError as error:
        return NodeResult(node, None, first_line(error.cause))
    except ray.exceptions.RayError as error:  # the node died, or has no Python for the task
        return NodeResult(node, None, first_line(error))


def _is_head(node: Node) -> bool:
    return "node:__internal_head__" in node.resources

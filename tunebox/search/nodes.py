"""The nodes of the cluster that this process has joined, and one task on each of them."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tunebox.errors import first_line

Found = TypeVar("Found")
Resources = Mapping[str, float]  # amounts by Ray's names


@dataclass(frozen=True)
class Node:
    """A node that is alive.

    Attributes:
        node_id: Ray's.
        name: Of the host; with a part of the id where several nodes are on one host.
        resources: All that it has, such as ``{"CPU": 8.0, "GPU": 1.0}``.
    """

    node_id: str
    name: str
    resources: Resources = field(compare=False)

    def has_room(self, asked: Resources) -> bool:
        """Whether a trial that asks for so much fits when nothing else runs."""
        return has_room(self.resources, asked)

    def num_times(self, asked: Resources) -> int:
        """Return how many times so much fits when nothing else runs."""
        shares = (
            self.resources.get(name, 0.0) / amount for name, amount in asked.items() if amount
        )
        share = min(shares)
        return int(share + 1e-6)  # 1 / 0.1 / 10 is a little less than 1


@dataclass(frozen=True)
class Answer(Generic[Found]):
    """What a task on a node found, or in one line why there is no answer."""

    node: Node
    found: Found | None
    trouble: str | None


def alive_nodes() -> list[Node]:
    """Return the nodes that are alive, the head first, the others by their names."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    on_host = Counter(node["NodeManagerHostname"] for node in alive)
    nodes = []
    for node in alive:
        node_id, name = node["NodeID"], node["NodeManagerHostname"]
        if on_host[name] > 1:
            name = f"{name}/{node_id[:6]}"
        nodes.append(Node(node_id, name, node["Resources"]))
    return sorted(nodes, key=lambda node: (not _is_head(node), node.name))


def has_room(resources: Resources, asked: Resources) -> bool:
    """Whether ``asked`` fits into ``resources``; what is absent is 0."""
    return all(resources.get(name, 0.0) >= amount for name, amount in asked.items())


def driver_node_id() -> str:
    """Return Ray's id of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())


def ask_nodes(
    nodes: Sequence[Node], function: Callable[..., Found], *arguments: Any, seconds: float
) -> list[Answer[Found]]:
    """Run ``function(*arguments)`` on each of ``nodes`` at the same time, be they busy or not.

    Args:
        nodes: That are asked.
        function: Takes no CPU of the node from the trials.
        arguments: The same for all.
        seconds: A node that has not answered by then is reported as such.

    Returns:
        An answer a node, in the order of ``nodes``. What ``function`` raises is the trouble.
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
    deadline = time.monotonic() + seconds
    return [
        _answer(node, reference, deadline)
        for node, reference in zip(nodes, references, strict=True)
    ]


def _answer(node: Node, reference: Any, deadline: float) -> Answer[Any]:
    try:
        left = max(0.0, deadline - time.monotonic())
        return Answer(node, ray.get(reference, timeout=left), None)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        return Answer(node, None, "does not answer")
    except ray.exceptions.RayTaskError as error:
        return Answer(node, None, first_line(error.cause))
    except ray.exceptions.RayError as error:  # the node died, or has no Python for it
        return Answer(node, None, first_line(error))


def _is_head(node: Node) -> bool:
    return "node:__internal_head__" in node.resources

"""Whether the trials that run at once fit into the memory of the nodes."""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebox.engine.nodes import probes
from tunebox.engine.nodes.nodes import Resources, alive_nodes, driver_node_id, run_on_nodes
from tunebox.errors import ClusterError
from tunebox.spec.sample import sample_values
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.trial_config import TrialConfig

if TYPE_CHECKING:
    from tunebox.data.inspection import Inspection
    from tunebox.training.memory import MemoryEstimate

_DRAWN = 8  # trials whose memory is estimated; the largest counts
_PROBE_SECONDS = 60.0
_RAY_THRESHOLD = 0.95  # Ray's own default
_ADVICE = "take a smaller training/batch_size, data/image_size or model"


@dataclass(frozen=True)
class NodeMemory:
    """Memory of a node in bytes.

    Attributes:
        name: Name of the node.
        num_trials: Trials that it would run at once, by its CPUs and GPUs.
        used: What other processes use now.
        total: All that it has.
        allowed: What may be used before Ray ends processes.
    """

    name: str
    num_trials: int
    used: int
    total: int
    allowed: int

    def room(self, need: int) -> int:
        """Return how many trials that need so many bytes fit."""
        return max(0, min(self.num_trials, (self.allowed - self.used) // need))

    def __str__(self) -> str:
        used, total, allowed = (size / 2**30 for size in (self.used, self.total, self.allowed))
        return (
            f"{used:.1f} of {total:.1f} GB of {self.name} were in use, and Ray ends processes "
            f"above {allowed:.1f} GB"
        )


def fit_into_memory(
    spec: SearchSpec,
    request: Resources,
    inspection: Inspection,
    nodes: Sequence[NodeMemory],
    measured: int = 0,
) -> tuple[int | None, str | None]:
    """Return how many trials may run at once, and a line if that is fewer than would.

    Trials whose memory is neither measured nor known are not limited.

    Args:
        spec: The search.
        request: Resources of a trial.
        inspection: What is known of its images.
        nodes: All nodes on which trials may run; without any, the autoscaler will start some.
        measured: Bytes that a trial of an earlier process of the search took, 0 if none ran.

    Raises:
        ClusterError: No node has room for a single trial.
    """
    estimate = None if request.get("GPU") else _largest(spec, inspection)
    if not nodes or (estimate is None and not measured):
        return spec.search.max_concurrent, None
    if estimate is None or measured > estimate.total:
        need, takes = measured, f"took {measured / 2**30:.1f} GB"
    else:
        need, takes = estimate.total, f"takes about {estimate}"
    return choose_limit(need, takes, nodes, spec.search.max_concurrent, spec.search.trials)


def choose_limit(
    need: int,
    takes: str,
    nodes: Sequence[NodeMemory],
    max_concurrent: int | None,
    num_trials: int,
) -> tuple[int | None, str | None]:
    """Return how many trials may run at once on ``nodes``, and a line if that is fewer.

    Args:
        need: Bytes that a trial takes.
        takes: The same in words.
        nodes: All nodes on which trials may run.
        max_concurrent: The limit of the search, None for none.
        num_trials: How many trials there will be.

    Raises:
        ClusterError: No node has room for a single trial.
    """
    fitting, wanted = _fitting(need, nodes), _wanted(nodes, max_concurrent, num_trials)
    largest = _largest_node(nodes)
    if fitting == 0:
        raise ClusterError(
            f"a trial {takes}, which no node has: {largest}; {_ADVICE}, or end what uses the memory"
        )
    if fitting >= wanted:
        return max_concurrent, None
    return fitting, (
        f"{fitting} instead of {wanted} trials run at once: one {takes}, and {largest}; for more, "
        f"{_ADVICE}"
    )


def limit_by_measured(
    need: int, nodes: Sequence[NodeMemory], max_concurrent: int | None, num_trials: int
) -> tuple[int | None, str | None]:
    """Return what `choose_limit` does for trials that run already; at least one may.

    Args:
        need: Bytes that one of them took.
        nodes: All nodes on which trials may run, as they were before any ran.
        max_concurrent: The limit so far, None for none.
        num_trials: How many trials the search has.
    """
    fitting = max(1, _fitting(need, nodes))
    if fitting >= _wanted(nodes, max_concurrent, num_trials):
        return max_concurrent, None
    run = "trial runs" if fitting == 1 else "trials run"
    return fitting, (
        f"{fitting} {run} at once from now on: one took {need / 2**30:.1f} GB, and before the "
        f"trials {_largest_node(nodes)}; for more, {_ADVICE}"
    )


def _fitting(need: int, nodes: Sequence[NodeMemory]) -> int:
    return sum(node.room(need) for node in nodes)


def _wanted(nodes: Sequence[NodeMemory], max_concurrent: int | None, num_trials: int) -> int:
    """Return how many trials run at once if memory is no matter."""
    most = min(sum(node.num_trials for node in nodes), num_trials)
    return most if max_concurrent is None else min(most, max_concurrent)


def _largest_node(nodes: Sequence[NodeMemory]) -> NodeMemory:
    return max(nodes, key=lambda node: node.allowed - node.used)


def _largest(spec: SearchSpec, inspection: Inspection) -> MemoryEstimate | None:
    """Return the largest estimate of some trials of a search, None if it is not known."""
    if inspection.image_shape is None:
        return None
    from tunebox.training.memory import estimate_memory

    generator = random.Random(spec.search.seed)
    drawn = [spec.trial_config(sample_values(spec.space, generator)) for _ in range(_DRAWN)]
    estimates = [
        estimate_memory(
            config, inspection.image_shape, inspection.num_images, inspection.num_classes
        )
        for config in drawn
        if isinstance(config, TrialConfig)
    ]
    return max(filter(None, estimates), key=lambda one: one.total, default=None)


def memory_of_nodes(request: Resources, excluded: Collection[str]) -> list[NodeMemory]:
    """Return the memory of the nodes on which trials may run.

    Args:
        request: Resources of a trial.
        excluded: Ids of the nodes on which no trial may run.
    """
    share = float(os.environ.get("RAY_memory_usage_threshold", _RAY_THRESHOLD))
    nodes = [node for node in alive_nodes() if node.fits(request) and node.node_id not in excluded]
    if [node.node_id for node in nodes] == [driver_node_id()]:  # no process has to be started
        found = [(nodes[0], probes.memory())]
    else:
        results = run_on_nodes(nodes, probes.memory, timeout=_PROBE_SECONDS)
        found = [(result.node, result.value) for result in results if result.value is not None]
    return [
        NodeMemory(
            node.name,
            node.capacity(request),
            memory["used"],
            memory["total"],
            int(share * memory["total"]),
        )
        for node, memory in found
    ]

"""Whether the trials that run at once fit into the memory of the nodes."""

from __future__ import annotations

import os
import random
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunebox.engine.nodes import probes
from tunebox.engine.nodes.nodes import Resources, alive_nodes, run_on_nodes
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
            f"{self.name} uses {used:.1f} of {total:.1f} GB now, and Ray ends processes above "
            f"{allowed:.1f} GB"
        )


def fit_into_memory(
    spec: SearchSpec, request: Resources, inspection: Inspection, excluded: Collection[str]
) -> tuple[int | None, str | None]:
    """Return how many trials may run at once, and a line if that is fewer than would.

    Trials on GPUs, and those whose memory is not known, are not limited.

    Args:
        spec: The search.
        request: Resources of a trial.
        inspection: What is known of its images.
        excluded: Ids of the nodes on which no trial may run.

    Raises:
        ClusterError: No node has room for a single trial.
    """
    unchanged = spec.search.max_concurrent, None
    estimate = None if request.get("GPU") else _largest(spec, inspection)
    if estimate is None:
        return unchanged
    nodes = _memory_of_nodes(request, excluded)
    if not nodes:  # the autoscaler will start some
        return unchanged
    return choose_limit(estimate, nodes, spec.search.max_concurrent, spec.search.trials)


def choose_limit(
    estimate: MemoryEstimate,
    nodes: list[NodeMemory],
    max_concurrent: int | None,
    num_trials: int,
) -> tuple[int | None, str | None]:
    """Return how many trials may run at once on ``nodes``, and a line if that is fewer.

    Args:
        estimate: What a trial takes.
        nodes: All nodes on which trials may run.
        max_concurrent: The limit of the search, None for none.
        num_trials: How many trials there will be.

    Raises:
        ClusterError: No node has room for a single trial.
    """
    wanted = min(sum(node.num_trials for node in nodes), num_trials)
    if max_concurrent is not None:
        wanted = min(wanted, max_concurrent)
    fitting = sum(node.room(estimate.total) for node in nodes)
    largest = max(nodes, key=lambda node: node.allowed - node.used)
    if fitting == 0:
        raise ClusterError(
            f"a trial takes about {estimate}, which no node has: {largest}; {_ADVICE}, or end what "
            "uses the memory"
        )
    if fitting >= wanted:
        return max_concurrent, None
    return fitting, (
        f"{fitting} instead of {wanted} trials run at once: one takes about {estimate}, and "
        f"{largest}; for more, {_ADVICE}"
    )


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


def _memory_of_nodes(request: Resources, excluded: Collection[str]) -> list[NodeMemory]:
    share = float(os.environ.get("RAY_memory_usage_threshold", _RAY_THRESHOLD))
    nodes = [node for node in alive_nodes() if node.fits(request) and node.node_id not in excluded]
    results = run_on_nodes(nodes, probes.memory, timeout=_PROBE_SECONDS)
    return [
        NodeMemory(
            result.node.name,
            result.node.capacity(request),
            result.value["used"],
            result.value["total"],
            int(share * result.value["total"]),
        )
        for result in results
        if result.value is not None
    ]

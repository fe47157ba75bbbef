"""Resources of a trial, and whether a node of the cluster has them."""

import random
from collections.abc import Iterable, Mapping

from tunebox.engine.nodes.autoscaler import launchable_node_types
from tunebox.engine.nodes.nodes import Resources, alive_nodes, fits
from tunebox.engine.nodes.packing import describe_packing, gpu_fraction, measure_packing
from tunebox.errors import ClusterError
from tunebox.spec.sample import value_at
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Leaf, Scalar, Values

_OPTIONS = {"CPU": "--cpus-per-trial", "GPU": "--gpus-per-trial"}


def trial_resources(search: SearchSettings) -> dict[str, float]:
    """Return the resources that a trial requests, by Ray's names.

    ``gpus_per_trial: auto`` counts as one GPU until it is measured. ``cpus_per_trial: node`` is
    the number of CPUs of the largest node, alive or launchable, that has enough GPUs; smaller
    nodes get no trials.

    Raises:
        ClusterError: A whole node is requested, and no node with enough GPUs has CPUs.
    """
    gpus = 1.0 if search.gpus_per_trial == "auto" else search.gpus_per_trial
    if search.cpus_per_trial != "node":
        return {"CPU": search.cpus_per_trial, "GPU": gpus}
    cpus = [node.get("CPU", 0.0) for node in _all_nodes() if node.get("GPU", 0.0) >= gpus]
    if not any(cpus):
        raise ClusterError(f"--cpus-per-trial node: no node with {gpus:g} GPUs has CPUs, either")
    return {"CPU": max(cpus), "GPU": gpus}


def check_capacity(search: SearchSettings, request: Resources) -> str | None:
    """Check that a trial fits on some node when nothing else runs there.

    Returns:
        None if it fits on a node that is alive; a line that says that trials wait if the
        autoscaler can launch such a node.

    Raises:
        ClusterError: A trial fits neither on a node that is alive nor on one to be launched.
    """
    nodes = [node.resources for node in alive_nodes()]
    if any(fits(request, node) for node in nodes):
        return None
    types = launchable_node_types()
    if any(not known or fits(request, known) for known in types):
        return "no node has room for a trial yet: trials wait for the autoscaler to start one"
    raise ClusterError(_reason_too_large(search, request, [*nodes, *types]))


def measure_gpus_per_trial(
    spec: SearchSpec, request: Resources, excluded: Mapping[str, str]
) -> tuple[float, str]:
    """Return the value of ``gpus_per_trial: auto``, and a line about how it was measured.

    More and more trials train side by side on one GPU, for some seconds each time. They have the
    first settings of ``start`` in the search file; random settings fill in what these leave open.

    Args:
        spec: Search whose trials are measured.
        request: Resources of a trial, from `trial_resources`.
        excluded: Reason by id of the nodes on which no trial may run.

    Raises:
        ClusterError: The trials fail, or a single trial does not fit on a GPU.
    """
    measured = measure_packing(spec.trial_config(_first_values(spec)), request, excluded)
    return gpu_fraction(measured[-1].num_trials), describe_packing(measured)


def _first_values(spec: SearchSpec) -> Values:
    first = spec.start[0] if spec.start else {}
    generator = random.Random(spec.search.seed)

    def value(leaf: Leaf) -> Scalar:
        drawn = value_at(leaf.distribution, generator.random())
        return first.get(leaf.path, drawn)

    return spec.space.draw(value)


def _all_nodes() -> list[Resources]:
    """Return the resources of each node that is alive and of each known type to be launched."""
    return [*(node.resources for node in alive_nodes()), *filter(None, launchable_node_types())]


def _reason_too_large(
    search: SearchSettings, request: Resources, nodes: Iterable[Resources]
) -> str:
    typed = {"CPU": _as_typed(search.cpus_per_trial), "GPU": _as_typed(search.gpus_per_trial)}
    nodes = list(nodes)
    for resource, option in _OPTIONS.items():
        largest = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if request[resource] > largest:
            advice = "ask for at most that" if largest else "leave it out"
            return (
                f"{option} {typed[resource]}: the largest node of the cluster has {largest:g} "
                f"{resource}s; {advice}"
            )
    wanted = " and ".join(f"{amount:g} {resource}s" for resource, amount in request.items())
    return f"no node of the cluster has {wanted} together; ask for less of one of them"


def _as_typed(amount: float | str) -> str:
    return amount if isinstance(amount, str) else f"{amount:g}"

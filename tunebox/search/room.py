"""What a trial asks of a node, and whether there is such a node."""

import random
from collections.abc import Iterable, Mapping

from tunebox.errors import ClusterError
from tunebox.search.autoscaler import launchable
from tunebox.search.nodes import Resources, alive_nodes, has_room
from tunebox.search.packing import describe_packing, measure_packing, share
from tunebox.spec.sample import value_at
from tunebox.spec.search_spec import SearchSettings, SearchSpec
from tunebox.spec.space import Leaf, Scalar, Values

_OPTIONS = {"CPU": "--cpus-per-trial", "GPU": "--gpus-per-trial"}


def asked_by_a_trial(search: SearchSettings) -> dict[str, float]:
    """Return what a trial asks of its node, by Ray's names.

    ``auto`` stands for a whole GPU until it is measured. ``node`` stands for the CPUs of the
    largest node with that many GPUs that is there or can be launched; nodes with fewer CPUs get
    no trials.

    Raises:
        ClusterError: A whole node is asked for, and none has so many GPUs.
    """
    gpus = 1.0 if search.gpus_per_trial == "auto" else search.gpus_per_trial
    if search.cpus_per_trial != "node":
        return {"CPU": search.cpus_per_trial, "GPU": gpus}
    cpus = [node.get("CPU", 0.0) for node in _all_nodes() if node.get("GPU", 0.0) >= gpus]
    if not any(cpus):
        raise ClusterError(f"--cpus-per-trial node: no node with {gpus:g} GPUs has CPUs, either")
    return {"CPU": max(cpus), "GPU": gpus}


def check_room(search: SearchSettings, asked: Resources) -> str | None:
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
    raise ClusterError(_too_much(search, asked, [*nodes, *types]))


def measured_gpus(
    spec: SearchSpec, asked: Resources, left_out: Mapping[str, str]
) -> tuple[float, str]:
    """Return what ``gpus_per_trial: auto`` comes to, and a line about it.

    Trials with the first settings that the file starts with, or else with drawn ones, train side
    by side on one GPU for some seconds, in growing numbers.

    Args:
        spec: What is searched.
        asked: As `asked_by_a_trial` gives it.
        left_out: The ids of nodes that no trial may run on.

    Raises:
        ClusterError: The trials fail, or not even one fits.
    """
    measured = measure_packing(spec.trial_config(_first_values(spec)), asked, left_out)
    return share(measured[-1].num_trials), describe_packing(measured)


def _first_values(spec: SearchSpec) -> Values:
    first = spec.start[0] if spec.start else {}
    generator = random.Random(spec.search.seed)

    def value(leaf: Leaf) -> Scalar:
        drawn = value_at(leaf.distribution, generator.random())
        return first.get(leaf.path, drawn)

    return spec.space.draw(value)


def _all_nodes() -> list[Resources]:
    """Return what each node has that is there, and each type that can be launched and is known."""
    return [*(node.resources for node in alive_nodes()), *filter(None, launchable())]


def _too_much(search: SearchSettings, asked: Resources, nodes: Iterable[Resources]) -> str:
    typed = {"CPU": _as_typed(search.cpus_per_trial), "GPU": _as_typed(search.gpus_per_trial)}
    nodes = list(nodes)
    for resource, option in _OPTIONS.items():
        largest = max((node.get(resource, 0.0) for node in nodes), default=0.0)
        if asked[resource] > largest:
            advice = "ask for at most that" if largest else "leave it out"
            return (
                f"{option} {typed[resource]}: the largest node of the cluster has {largest:g} "
                f"{resource}s; {advice}"
            )
    wanted = " and ".join(f"{amount:g} {resource}s" for resource, amount in asked.items())
    return f"no node of the cluster has {wanted} together; ask for less of one of them"


def _as_typed(amount: float | str) -> str:
    return amount if isinstance(amount, str) else f"{amount:g}"

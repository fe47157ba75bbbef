"""Before the first trial: do all nodes have the code, the search's folder and the data?"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ray import cloudpickle

from tunebox.data.check import prepare_data
from tunebox.data.settings import DataSettings
from tunebox.errors import ClusterError, DataError
from tunebox.search import node_probe
from tunebox.search.marked_folder import MarkedFolder, marked_folder
from tunebox.search.node_probe import Software
from tunebox.search.nodes import Answer, Node, alive_nodes, ask_nodes, driver_node_id

# a node without tunebox is to say so, and not fail to read the question
cloudpickle.register_pickle_by_value(node_probe)

ANSWER_SECONDS = 120.0
DOWNLOAD_SECONDS = 3600.0


@dataclass(frozen=True)
class Readiness:
    """Which nodes no trial may run on, and what a person may want to know."""

    left_out: dict[str, str] = field(default_factory=dict)  # the id of a node: why, with its name
    notes: list[str] = field(default_factory=list)


def make_ready(asked: Mapping[str, float], out: Path, data: DataSettings) -> Readiness:
    """Have the data on every node that trials fit on, once, and check what else they need there.

    With one node, on which this process runs, there is nothing to ask. With no node yet, one that
    joins later is checked by the first trial that starts there, as all others are.

    Args:
        asked: By a trial.
        out: The folder of all searches.
        data: Of the search.

    Raises:
        ClusterError: ``out`` is not the same folder on all these nodes, or tunebox or torch is on
            none of them.
        DataError: None of them has the data or can fetch them.
    """
    nodes = [node for node in alive_nodes() if node.has_room(asked)]
    if [node.node_id for node in nodes] == [driver_node_id()]:
        prepare_data(data)
        return Readiness()
    ready = Readiness()
    nodes = _with_software(nodes, ready)
    _check_shared(nodes, out)
    _with_data(nodes, data, ready)
    return ready


def describe_differences(software: Software, here: Software) -> str | None:
    """Return in which versions a node differs from this process; None if in none.

    The content of tunebox's modules counts only where the version does not tell it.
    """
    differing = [
        f"{package} {software[package]} (here {here[package]})"
        for package in ("python", "ray", "torch", "tunebox")
        if software[package] != here[package]
    ]
    if not differing and software["code"] != here["code"]:
        differing = [f"another tunebox {here['tunebox']} than here"]
    return ", ".join(differing) or None


def describe_software(software: Software) -> str:
    """Return ``tunebox 0.1.0, ray 2.60.0, ..`` in one line."""
    packages = ("tunebox", "ray", "torch", "python")
    return ", ".join(f"{package} {software[package]}" for package in packages)


def lacking(software: Software) -> str | None:
    """Return which packages that a trial needs are not there; None if all are."""
    absent = [package for package in ("tunebox", "torch") if software[package] is None]
    return f"{' and '.join(absent)} not installed" if absent else None


def storage_troubles(nodes: Sequence[Node], mark: MarkedFolder) -> dict[Node, str]:
    """Return the nodes that do not share the marked folder with this process, and why."""
    answers = ask_nodes(
        nodes, node_probe.storage_trouble, mark.folder, mark.token, seconds=ANSWER_SECONDS
    )
    troubles = {answer.node: answer.trouble or answer.found for answer in answers}
    for node in nodes:
        if troubles[node] is None and not mark.has_mark_of(node.node_id):
            troubles[node] = "what it writes does not arrive"
    return {node: trouble for node, trouble in troubles.items() if trouble is not None}


def _with_software(nodes: Sequence[Node], ready: Readiness) -> list[Node]:
    here = node_probe.software()
    answers = ask_nodes(nodes, node_probe.software, seconds=ANSWER_SECONDS)
    troubles = [(answer, _software_trouble(answer)) for answer in answers]
    for answer, trouble in troubles:
        if trouble is not None:
            _leave_out(answer.node, trouble, ready)
        elif answer.found and (differences := describe_differences(answer.found, here)):
            ready.notes.append(f"node {answer.node.name} has {differences}; install the same")
    fit = [answer.node for answer, trouble in troubles if trouble is None]
    if nodes and not fit:
        raise ClusterError(f"no node can run trials: {troubles[0][1]} on {_names(nodes)}")
    return fit


def _software_trouble(answer: Answer[Software]) -> str | None:
    return answer.trouble if answer.found is None else lacking(answer.found)


def _check_shared(nodes: Sequence[Node], out: Path) -> None:
    with marked_folder(out / f".nodes-{secrets.token_hex(4)}") as mark:
        troubles = storage_troubles(nodes, mark)
    if troubles:
        reason = next(iter(troubles.values()))
        raise ClusterError(
            f"{out.absolute()} is not the same folder on {_names(list(troubles))}: {reason}; give "
            "an --out on storage that all nodes mount at the same path"
        )


def _with_data(nodes: Sequence[Node], data: DataSettings, ready: Readiness) -> None:
    answers = ask_nodes(nodes, prepare_data, data, seconds=DOWNLOAD_SECONDS)
    troubles = {answer.node: answer.trouble for answer in answers if answer.trouble is not None}
    if nodes and len(troubles) == len(nodes):
        raise DataError(f"on no node: {troubles[nodes[0]]}")
    for node, trouble in troubles.items():
        _leave_out(node, trouble, ready)


def _leave_out(node: Node, trouble: str, ready: Readiness) -> None:
    reason = f"node {node.name} is left out: {trouble}"
    ready.left_out[node.node_id] = reason
    ready.notes.append(reason)


def _names(nodes: Sequence[Node]) -> str:
    return ", ".join(node.name for node in nodes)

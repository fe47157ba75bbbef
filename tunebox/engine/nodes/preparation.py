"""Prepare the nodes before the first trial: same software, a shared folder, the data."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunebox.data.inspection import Inspection
from tunebox.data.read_files import BadFile
from tunebox.data.settings import DataSettings, inspect_data, prepare_data
from tunebox.engine.nodes import probes
from tunebox.engine.nodes.memory import NodeMemory
from tunebox.engine.nodes.nodes import (
    Node,
    NodeResult,
    Resources,
    alive_nodes,
    driver_node_id,
    run_on_nodes,
)
from tunebox.engine.nodes.probes import Software
from tunebox.engine.nodes.shared_folder import storage_errors
from tunebox.errors import ClusterError, DataError

_PROBE_SECONDS = 120.0
_DOWNLOAD_SECONDS = 3600.0


@dataclass(frozen=True)
class NodeReport:
    """Result of `prepare_nodes`.

    Attributes:
        excluded: Reason by node id, for nodes on which no trial may run.
        notes: Lines for the person who runs the search.
        bad_files: Images that trials leave out.
        memory: Memory of the nodes before trials run; empty if it does not matter.
    """

    excluded: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)
    memory: list[NodeMemory] = field(default_factory=list)


def prepare_nodes(request: Resources, out: Path, data: DataSettings | None) -> NodeReport:
    """Check software, storage and data of every node that a trial fits on; download data once.

    Where the only such node is the driver's own, only the data are prepared. A node that joins
    later is checked by the first trial that starts there.

    Args:
        request: Resources of a trial.
        out: Output folder of all searches.
        data: Data settings of the search; None for a training loop that has data of its own.

    Raises:
        ClusterError: Some node sees another folder at ``out``, or no node has tunebox and torch.
        DataError: No node has the data or can download them.
    """
    nodes = [node for node in alive_nodes() if node.fits(request)]
    report = NodeReport()
    if [node.node_id for node in nodes] == [driver_node_id()]:
        if data is not None:
            prepare_data(data)
    elif nodes:
        nodes = _check_software(nodes, report)
        _check_storage(nodes, out)
        if (
            data is not None and data.code is None
        ):  # code of the user's own gets there with the folder of the search
            _prepare_data(nodes, data, report)
    return report


def inspect_on_a_node(
    request: Resources, data: DataSettings, excluded: Collection[str]
) -> Inspection:
    """Read all of the data once, on the first node on which a trial may run.

    Args:
        request: Resources of a trial.
        data: Data settings of the search.
        excluded: Ids of nodes on which no trial may run, such as those without the data.

    Raises:
        DataError: Files are damaged, or the node does not answer.
    """
    for node in alive_nodes():
        if node.fits(request) and node.node_id not in excluded:
            [result] = run_on_nodes([node], inspect_data, data, timeout=_DOWNLOAD_SECONDS)
            if result.value is None:
                raise DataError(f"{node.name}: {result.error}")
            return result.value
    return Inspection()  # the first trial waits for a node, and reads the data there


def describe_differences(software: Software, here: Software) -> str | None:
    """Return the versions in which a node differs from this process, None if there are none.

    The content of tunebox's modules is compared only where all versions are the same.
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


def missing_packages(software: Software) -> str | None:
    """Return a line about missing packages that trials need, None if all are installed."""
    absent = [package for package in ("tunebox", "torch") if software[package] is None]
    return f"{' and '.join(absent)} not installed" if absent else None


def _check_software(nodes: Sequence[Node], report: NodeReport) -> list[Node]:
    """Return the nodes that have tunebox and torch; exclude the others."""
    here = probes.software()
    results = run_on_nodes(nodes, probes.software, timeout=_PROBE_SECONDS)
    errors = {result.node: _software_error(result) for result in results}
    fit = [node for node in nodes if errors[node] is None]
    if not fit:
        raise ClusterError(f"no node can run trials: {errors[nodes[0]]} on {_names(nodes)}")
    for result in results:
        error = errors[result.node]
        if error is not None:
            _exclude(result.node, error, report)
        elif result.value and (differences := describe_differences(result.value, here)):
            report.notes.append(f"node {result.node.name} has {differences}; install the same")
    return fit


def _software_error(result: NodeResult[Software]) -> str | None:
    return result.error if result.value is None else missing_packages(result.value)


def _check_storage(nodes: Sequence[Node], out: Path) -> None:
    errors = storage_errors(nodes, out, _PROBE_SECONDS)
    if errors:
        reason = next(iter(errors.values()))
        raise ClusterError(
            f"{out.absolute()} is not the same folder on {_names(list(errors))}: {reason}; give "
            "an --out on storage that all nodes mount at the same path"
        )


def _prepare_data(nodes: Sequence[Node], data: DataSettings, report: NodeReport) -> None:
    results = run_on_nodes(nodes, prepare_data, data, timeout=_DOWNLOAD_SECONDS)
    errors = {result.node: result.error for result in results if result.error is not None}
    if len(errors) == len(nodes):
        raise DataError(f"on no node: {errors[nodes[0]]}")
    for node, error in errors.items():
        _exclude(node, error, report)


def _exclude(node: Node, error: str, report: NodeReport) -> None:
    reason = f"node {node.name} is skipped: {error}"
    report.excluded[node.node_id] = reason
    report.notes.append(reason)


def _names(nodes: Sequence[Node]) -> str:
    return ", ".join(node.name for node in nodes)

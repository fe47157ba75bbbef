"""Findings of ``tunebox doctor`` about a cluster and its nodes."""

import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tunebox.data.read_files import num_cores
from tunebox.data.settings import DataSettings, check_data
from tunebox.engine.nodes import probes
from tunebox.engine.nodes.nodes import Node, NodeResult, alive_nodes, run_on_nodes
from tunebox.engine.nodes.preparation import describe_differences, missing_packages
from tunebox.engine.nodes.probes import NodeFacts
from tunebox.engine.nodes.shared_folder import storage_errors
from tunebox.errors import DataError, describe_os_error
from tunebox.verbs.findings import Finding, Level

_TIMEOUT_SECONDS = 90.0
_MAX_SKEW_SECONDS = 2.0  # above it the times in the records mislead


def check_cluster(out: Path, data: DataSettings | None) -> Iterator[Finding]:
    """Check the cluster that this process has joined, and each of its nodes.

    Args:
        out: Output folder of all searches, which all nodes must share.
        data: Data settings to check on every node; None checks none. Nothing is downloaded.
    """
    results = run_on_nodes(alive_nodes(), probes.node_facts, timeout=_TIMEOUT_SECONDS)
    for result in results:
        yield _node(result)
    nodes = [result.node for result in results if result.value is not None]
    yield from _software(results)
    yield from _storage(nodes, out)
    yield from _clocks(nodes)
    if data is not None and data.code is None:
        yield from _data(nodes, data)


def check_this_machine(out: Path, data: DataSettings | None) -> Iterator[Finding]:
    """Check what a search without Ray needs: GPUs, the output folder, and the data.

    Args:
        out: Output folder of all searches.
        data: Data settings to check; None checks none. Nothing is downloaded.
    """
    facts = probes.node_facts()
    has = {"CPU": float(num_cores()), "GPU": float(len(facts["gpus"]))}
    yield _node(NodeResult(Node("", socket.gethostname(), has), facts, None))
    yield from _storage([], out)
    if data is not None and data.code is None:
        try:
            data.check()
        except DataError as error:
            yield Finding("error", "data", str(error))


def _node(result: NodeResult[NodeFacts]) -> Finding:
    name, resources = result.node.name, result.node.resources
    if result.value is None:
        return Finding("error", "node", f"{name}: {result.error}; look at it, or take it out")
    offered = int(resources.get("GPU", 0))
    seen, by_torch = result.value["gpus"], result.value["num_torch_gpus"]
    text = f"{name}: {resources.get('CPU', 0):g} CPUs, {offered} GPUs"
    if seen:
        cards = sorted({f"{gpu['name']}, {gpu['memory']}, driver {gpu['driver']}" for gpu in seen})
        text += f" ({'; '.join(cards)}; torch sees {by_torch})"
    if by_torch < offered:
        what = (
            "install the torch build for its driver" if seen else "nvidia-smi shows none: driver?"
        )
        return Finding("error", "node", f"{text}: torch sees {by_torch} of {offered}; {what}")
    if len(seen) > offered:
        return Finding(
            "warning",
            "node",
            f"{text}: Ray offers {offered} of {len(seen)} GPUs; see --num-gpus of ray start",
        )
    return Finding("ok", "node", text)


def _software(results: Sequence[NodeResult[NodeFacts]]) -> Iterator[Finding]:
    here = probes.software()
    num_same = 0
    for result in results:
        if result.value is None:
            continue
        software = result.value["software"]
        absent, differences = missing_packages(software), describe_differences(software, here)
        if absent is not None:
            yield Finding(
                "error",
                "software",
                f"{result.node.name}: {absent}; install the same there as on the head",
            )
        elif differences is not None:
            yield Finding(
                "warning",
                "software",
                f"{result.node.name} has {differences}; install the same on all nodes",
            )
        else:
            num_same += 1
    if num_same:
        yield Finding("ok", "software", f"the same on {num_same} of {len(results)} nodes")


def _storage(nodes: Sequence[Node], out: Path) -> list[Finding]:
    out = out.absolute()
    try:
        errors = storage_errors(nodes, out, _TIMEOUT_SECONDS)
    except OSError as error:
        text = f"{describe_os_error(error)}; make it writable here, or give another --out"
        return [Finding("error", "storage", text)]
    findings = [
        Finding(
            "error",
            "storage",
            f"{node.name}: {out} is not the folder that is here: {reason}; mount the same "
            "storage there, or give another --out",
        )
        for node, reason in errors.items()
    ]
    where = "by every node" if nodes else "here"
    return findings or [Finding("ok", "storage", f"{out} is read and written {where}")]


def _clocks(nodes: Sequence[Node]) -> list[Finding]:
    """Compare clocks; the difference is known up to the time that a node takes to answer."""
    findings = []
    for node in nodes:
        before = time.time()
        [result] = run_on_nodes([node], probes.clock, timeout=_TIMEOUT_SECONDS)
        after = time.time()
        if result.value is None:
            continue
        skew = max(before - result.value, result.value - after, 0.0)
        if skew > _MAX_SKEW_SECONDS:
            findings.append(
                Finding(
                    "warning",
                    "clock",
                    f"{node.name} is at least {skew:.0f} s "
                    "off the clock here; let both follow a time server (chrony)",
                )
            )
    if not findings:
        findings.append(
            Finding("ok", "clock", f"no node is off by more than {_MAX_SKEW_SECONDS:g} s")
        )
    return findings


def _data(nodes: Sequence[Node], data: DataSettings) -> list[Finding]:
    results = run_on_nodes(nodes, check_data, data, timeout=_TIMEOUT_SECONDS)
    failed = [result for result in results if result.error is not None]
    if not failed:
        may = " or fetches" if getattr(data, "download", False) else ""
        return [Finding("ok", "data", f"every node has{may} {data.kind}")]
    level: Level = "error" if len(failed) == len(nodes) else "warning"
    return [Finding(level, "data", f"{result.node.name}: {result.error}") for result in failed]

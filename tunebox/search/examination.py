"""What is right and wrong with a cluster, for `tunebox doctor`."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from secrets import token_hex

from tunebox.data.check import check_data
from tunebox.data.settings import DataSettings
from tunebox.errors import describe_os_error
from tunebox.findings import Finding, Level
from tunebox.search import node_probe
from tunebox.search.marked_folder import marked_folder
from tunebox.search.node_probe import Findings
from tunebox.search.nodes import Answer, Node, alive_nodes, ask_nodes
from tunebox.search.readiness import describe_differences, lacking, storage_troubles

_ANSWER_SECONDS = 90.0
_SKEW_SECONDS = 2.0  # of clocks, from which on times in the records mislead


def examine_cluster(out: Path, data: DataSettings | None) -> Iterator[Finding]:
    """Look at the cluster that this process has joined, and at each of its nodes.

    Args:
        out: The folder of all searches, which all nodes must share.
        data: Of a search file; None leaves them out. Nothing is downloaded.
    """
    answers = ask_nodes(alive_nodes(), node_probe.examine, seconds=_ANSWER_SECONDS)
    for answer in answers:
        yield _node(answer)
    nodes = [answer.node for answer in answers if answer.found is not None]
    yield from _software(answers)
    yield from _storage(nodes, out)
    yield from _clocks(nodes)
    if data is not None:
        yield from _data(nodes, data)


def _node(answer: Answer[Findings]) -> Finding:
    name, resources = answer.node.name, answer.node.resources
    if answer.found is None:
        return Finding("error", "node", f"{name}: {answer.trouble}; look at it, or take it out")
    offered = int(resources.get("GPU", 0))
    seen, by_torch = answer.found["gpus"], answer.found["gpus_of_torch"]
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


def _software(answers: Sequence[Answer[Findings]]) -> Iterator[Finding]:
    here = node_probe.software()
    num_same = 0
    for answer in answers:
        if answer.found is None:
            continue
        software = answer.found["software"]
        absent, differences = lacking(software), describe_differences(software, here)
        if absent is not None:
            yield Finding(
                "error",
                "software",
                f"{answer.node.name}: {absent}; install the same there as on the head",
            )
        elif differences is not None:
            yield Finding(
                "warning",
                "software",
                f"{answer.node.name} has {differences}; install the same on all nodes",
            )
        else:
            num_same += 1
    if num_same:
        yield Finding("ok", "software", f"the same on {num_same} of {len(answers)} nodes")


def _storage(nodes: Sequence[Node], out: Path) -> list[Finding]:
    out = out.absolute()
    try:
        with marked_folder(out / f".nodes-{token_hex(4)}") as mark:
            troubles = storage_troubles(nodes, mark)
    except OSError as error:
        text = f"{describe_os_error(error)}; make it writable here, or give another --out"
        return [Finding("error", "storage", text)]
    findings = [
        Finding(
            "error",
            "storage",
            f"{node.name}: {out} is not the folder that is here: {trouble}; mount the same "
            "storage there, or give another --out",
        )
        for node, trouble in troubles.items()
    ]
    return findings or [Finding("ok", "storage", f"{out} is read and written by every node")]


def _clocks(nodes: Sequence[Node]) -> list[Finding]:
    """Compare clocks; by how much one is off is known up to the time that an answer takes."""
    findings, largest = [], 0.0
    for node in nodes:
        before = time.time()
        [answer] = ask_nodes([node], node_probe.clock, seconds=_ANSWER_SECONDS)
        after = time.time()
        if answer.found is None:
            continue
        skew = max(before - answer.found, answer.found - after, 0.0)
        largest = max(largest, skew)
        if skew > _SKEW_SECONDS:
            findings.append(
                Finding(
                    "warning",
                    "clock",
                    f"{node.name} is at least {skew:.0f} s "
                    "off the clock here; let both follow a time server (chrony)",
                )
            )
    if not findings:
        findings.append(Finding("ok", "clock", f"no node is off by more than {_SKEW_SECONDS:g} s"))
    return findings


def _data(nodes: Sequence[Node], data: DataSettings) -> list[Finding]:
    answers = ask_nodes(nodes, check_data, data, seconds=_ANSWER_SECONDS)
    troubles = [answer for answer in answers if answer.trouble is not None]
    if not troubles:
        may = " or fetches" if getattr(data, "download", False) else ""
        return [Finding("ok", "data", f"every node has{may} {data.kind}")]
    level: Level = "error" if len(troubles) == len(nodes) else "warning"
    return [Finding(level, "data", f"{answer.node.name}: {answer.trouble}") for answer in troubles]

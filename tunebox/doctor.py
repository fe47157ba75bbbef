"""``tunebox doctor``: whether a search could run here or on a cluster, a line a thing."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import ClusterError
from tunebox.findings import Finding
from tunebox.records.store_check import store_trouble
from tunebox.records.tracking import public_uri, resolve_tracking_uri
from tunebox.spec.load import load_spec

if TYPE_CHECKING:
    from tunebox.data.settings import DataSettings

_HEAD_SECONDS = 600.0


def examine(
    file: str | None, out: Path, address: str | None, tracking_uri: str | None
) -> Iterator[Finding]:
    """Look at the cluster that a search would run on from here, at MLflow and at the data.

    Args:
        file: A search file whose data are looked for on every node; None for none.
        out: The folder of all searches.
        address: Of a Ray cluster, as for a search.
        tracking_uri: Of MLflow, as for a search.

    Raises:
        TuneboxError: The file is none, or there is no cluster at the address.
    """
    data = None if file is None else _data(file)
    uri = resolve_tracking_uri(tracking_uri, out)
    from tunebox.search.cluster import connect
    from tunebox.search.examination import examine_cluster

    with connect(address) as cluster:
        yield Finding("ok", "cluster", cluster)
        yield from examine_cluster(out, data)
    trouble = store_trouble(uri)
    if trouble is None:
        yield Finding("ok", "MLflow", public_uri(uri))
    else:
        yield Finding(
            "error",
            "MLflow",
            f"{public_uri(uri)} does not answer ({trouble}); start "
            "the server, or give another --tracking-uri",
        )


def examine_from_home(cluster_file: str, arguments: list[str]) -> tuple[str, Finding]:
    """Return what ``tunebox doctor`` prints on the head, and how versions here differ from there.

    Args:
        cluster_file: That the cluster was started with.
        arguments: Of ``tunebox doctor`` on the head.

    Raises:
        ClusterError: The head cannot be reached, or could not be examined.
    """
    from tunebox.cluster.head import find_head

    command = ["tunebox", "doctor", *arguments]
    done = find_head(cluster_file).run(command, timeout=_HEAD_SECONDS)
    if done.returncode not in (0, 1) or not done.stdout:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ClusterError(f"tunebox doctor on the head of {cluster_file}: {reason}")
    return done.stdout, _compare(done.stdout)


def _data(file: str) -> "DataSettings":
    spec = load_spec(file)
    values = spec.space.draw(lambda leaf: leaf.distribution.ends[0])
    return spec.trial_config(values).data


def _compare(printed: str) -> Finding:
    from tunebox.search.node_probe import software

    [line] = [line for line in printed.splitlines() if line.split()[1:2] == ["versions"]]
    there = dict(item.split(" ") for item in line.split(maxsplit=2)[2].split(", "))
    here = software()
    differing = [
        f"{package} {here[package]} here and {there[package]} there"
        for package in ("tunebox", "ray", "python")
        if here[package] != there[package]
    ]
    if differing:
        return Finding("warning", "here", f"{', '.join(differing)}; install the same")
    return Finding("ok", "here", "tunebox, ray and python are those of the head")

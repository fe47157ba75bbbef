"""``tunebox doctor``: whether a search could run here or on a cluster, a line a thing."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.errors import ClusterError
from tunebox.findings import Finding, says_error
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
        TuneboxError: The file is none.
    """
    data = None if file is None else _data(file)
    uri = resolve_tracking_uri(tracking_uri, out)
    from tunebox.search.cluster import connect
    from tunebox.search.examination import examine_cluster
    from tunebox.search.node_probe import software
    from tunebox.search.readiness import describe_software

    yield Finding("ok", "versions", describe_software(software()))
    try:
        with connect(address) as cluster:
            yield Finding("ok", "cluster", cluster)
            yield from examine_cluster(out, data)
    except ClusterError as error:
        yield Finding("error", "cluster", str(error))
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


def examine_from_home(
    cluster_file: str, file: str | None, options: Mapping[str, str | None]
) -> tuple[str, Finding]:
    """Return what ``tunebox doctor`` prints on the head, and how versions here differ from there.

    Args:
        cluster_file: That the cluster was started with.
        file: A search file on this machine; None for none.
        options: Of ``tunebox doctor`` on the head, by name; None leaves one out.

    Raises:
        TuneboxError: The file is none, the head cannot be reached, or could not be examined.
    """
    from tunebox.cluster.head import find_head

    text = "" if file is None else load_spec(file).source.text
    # a cluster runs a search on the Ray that ``ray up`` started, and on no other
    given = {"--address": "auto", **{k: v for k, v in options.items() if v is not None}}
    words = [f"{name}={value}" for name, value in given.items()] + (["-"] if text else [])
    head = find_head(cluster_file)
    done = head.run(["tunebox", "doctor", *words], input=text, timeout=_HEAD_SECONDS)
    has_ended = done.returncode == 0 or (done.returncode == 1 and says_error(done.stdout))
    versions = [line for line in done.stdout.splitlines() if line.split()[1:2] == ["versions"]]
    if not has_ended or not versions:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ClusterError(f"tunebox doctor on the head of {cluster_file}: {reason}")
    return done.stdout, compare_with_head(versions[0])


def _data(file: str) -> "DataSettings":
    spec = load_spec(file)
    values = spec.space.draw(lambda leaf: leaf.distribution.ends[0])
    return spec.trial_config(values).data


def compare_with_head(line: str) -> Finding:
    """Return how the versions here differ from those in the ``line`` of the head's doctor."""
    from tunebox.search.node_probe import software

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

"""``tunebox doctor``: check whether a search could run here or on a cluster."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tunebox.data.settings import DataSettings
from tunebox.errors import ClusterError, DataError
from tunebox.spec.load import load_spec
from tunebox.spec.search_settings import IN_PROCESS
from tunebox.tracking.reasons import store_trouble
from tunebox.tracking.stores import public_uri, resolve_tracking_uri
from tunebox.verbs.data_check import data_are_here
from tunebox.verbs.findings import Finding, says_error

if TYPE_CHECKING:
    from tunebox.data.read_files import Progress

_HEAD_SECONDS = 600.0


def examine(
    file: str | None,
    out: Path,
    address: str | None,
    tracking_uri: str | None,
    progress: "Progress | None" = None,
) -> Iterator[Finding]:
    """Check the cluster that a search from here would use, MLflow and the data.

    Args:
        file: A search file whose data are checked on every node; None checks none.
        out: The folder of all searches.
        address: Address of a Ray cluster, as for a search; ``none`` for a search without Ray.
        tracking_uri: Address of MLflow, as for a search.
        progress: Called with the number of images that are read, and of all images.

    Raises:
        TuneboxError: The search file has a mistake.
    """
    data = None if file is None else load_spec(file).first_trial().data
    uri = resolve_tracking_uri(tracking_uri, out)
    from tunebox.engine.nodes.cluster import connect
    from tunebox.engine.nodes.preparation import describe_software
    from tunebox.engine.nodes.probes import software
    from tunebox.verbs.node_findings import check_cluster, check_this_machine

    yield Finding("ok", "versions", describe_software(software()))
    if data is not None and data_are_here(data):
        yield from _inspect(data, progress)
    if address == IN_PROCESS:
        yield Finding("ok", "cluster", "none: trials run in the process of the search, without Ray")
        yield from check_this_machine(out, data)
    else:
        try:
            with connect(address) as cluster:
                yield Finding("ok", "cluster", cluster)
                yield from check_cluster(out, data)
        except ClusterError as error:
            yield Finding("error", "cluster", str(error))
    trouble = store_trouble(uri)
    if trouble is None:
        yield Finding("ok", "MLflow", public_uri(uri))
    else:
        yield Finding(
            "error",
            "MLflow",
            f"{public_uri(uri)}: {trouble}; or give another --tracking-uri",
        )


def _inspect(data: DataSettings, progress: "Progress | None") -> Iterator[Finding]:
    """Read all of the data; where they are on nodes only, the first trial finds what is damaged."""
    try:
        inspection = data.inspect(progress)
    except DataError as error:
        yield Finding("error", "data", str(error))
        return
    if inspection.found is not None:
        yield Finding("ok", "data", inspection.found)
    for line in inspection.notes:
        yield Finding("warning", "data", line)


def examine_from_home(
    cluster_file: str, file: str | None, options: Mapping[str, str | None]
) -> tuple[str, Finding]:
    """Return what ``tunebox doctor`` prints on the head, and how versions here differ from there.

    Args:
        cluster_file: Cluster file that the cluster was started with.
        file: A search file on this machine; None for none.
        options: Options of ``tunebox doctor`` on the head, by name; None leaves one out.

    Raises:
        TuneboxError: The search file has a mistake, or ``doctor`` could not run on the head.
    """
    from tunebox.remote.cluster_file import find_head

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


def compare_with_head(line: str) -> Finding:
    """Compare the versions here with those in ``line``, which doctor printed on the head."""
    from tunebox.engine.nodes.probes import software

    words = (item.partition(" ") for item in line.split(maxsplit=2)[-1].split(", "))
    there = {package: version for package, _, version in words}
    here = software()
    differing = [
        f"{package} {here[package]} here and {there.get(package, 'none')} there"
        for package in ("tunebox", "ray", "python")
        if here[package] != there.get(package)
    ]
    if differing:
        return Finding("warning", "here", f"{', '.join(differing)}; install the same")
    return Finding("ok", "here", "tunebox, ray and python are those of the head")

"""The verbs for searches that run elsewhere; registered in `tunebox.cli`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebox.cli_common import EXIT_TROUBLE, Out, TrackingUri, end_search, make_console
from tunebox.errors import NoResultError
from tunebox.spec.search_spec import default_out

if TYPE_CHECKING:
    from tunebox.api import SearchResult

Cluster = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A cluster started with: ray up FILE."),
]


def attach(
    name: Annotated[str, typer.Argument(help="A search.")],
    cluster: Annotated[str, typer.Option(metavar="FILE", help="The cluster's file for ray up.")],
    out: Out = None,
) -> None:
    """Watch a search that runs on a cluster; bring it home into <out> when it has ended.

    Example: tunebox attach digits-1 --cluster cluster.yaml
    """
    from tunebox.cluster.session import ClusterSession

    console = make_console()
    home = Path(out or default_out())
    session = ClusterSession(cluster, console)
    session.check_known(name, home)
    with without_result():
        result = session.attach(name, home)
    end_search(console, result, cluster=cluster)


def stop(
    name: Annotated[str, typer.Argument(help="A search that runs.")],
    cluster: Cluster = None,
    out: Out = None,
) -> None:
    """End a running search in good order, as Ctrl-C does; --resume goes on with it.

    Example: tunebox stop digits-1
    """
    where = "" if out is None else f" --out {out}"
    has_begun = True
    if cluster is None:
        from tunebox.api import find_search
        from tunebox.stop import stop_search

        stop_search(find_search(name, out))
    else:
        from tunebox.cluster.session import ClusterSession

        has_begun = ClusterSession(cluster, make_console()).stop(name)
        where += f" --cluster {cluster}"
    if has_begun:
        typer.echo(f"{name} has ended; go on with it: tunebox search --resume {name}{where}")
    else:
        typer.echo(f"{name} has ended before it began: nothing was searched")


def doctor(
    file: Annotated[
        str | None,
        typer.Argument(help="A search file; its data are looked for.", show_default=False),
    ] = None,
    cluster: Cluster = None,
    out: Out = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster. [default: as for tunebox search]")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Say whether a search could run: cluster, nodes, GPUs, software, storage, MLflow, data.

    With --cluster all of it is looked at from the head, --out and the data of FILE too.

    Example: tunebox doctor --cluster cluster.yaml
    """
    from tunebox.doctor import examine, examine_from_home
    from tunebox.findings import has_error, print_findings, says_error

    console = make_console()
    if cluster is not None:
        options = {"--out": out, "--address": address, "--tracking-uri": tracking_uri}
        printed, finding = examine_from_home(cluster, file, options)
        typer.echo(printed, nl=False)
        print_findings(console, [finding])
        failed = says_error(printed)
    else:
        findings = []
        for finding in examine(file, Path(out or default_out()), address, tracking_uri):
            findings.append(finding)
            print_findings(console, [finding])
        failed = has_error(findings)
    if failed:
        raise typer.Exit(EXIT_TROUBLE)


def searcher(cluster: str | None) -> Callable[..., "SearchResult"]:
    """Return what runs a search: here, or on the cluster that the file ``cluster`` describes."""
    if cluster is None:
        from tunebox import api

        return api.search
    from tunebox.cluster.session import search_on_cluster

    return partial(search_on_cluster, cluster)


@contextmanager
def without_result() -> Iterator[None]:
    """Print why there is no result of a search on a cluster, and end with its exit code."""
    try:
        yield
    except NoResultError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error

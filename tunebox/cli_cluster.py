"""The verbs for searches that run elsewhere; registered in `tunebox.cli`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunebox.cli_common import Out, end_search, make_console
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
    if cluster is None:
        from tunebox.api import find_search
        from tunebox.stop import stop_search

        stop_search(find_search(name, out))
    else:
        from tunebox.cluster.session import ClusterSession

        ClusterSession(cluster, make_console()).stop(name)
        where += f" --cluster {cluster}"
    typer.echo(f"{name} has ended; go on with it: tunebox search --resume {name}{where}")


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

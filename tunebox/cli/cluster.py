"""The commands for searches on a cluster; registered in `tunebox.cli.main`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from tunebox.cli.common import Out, TrackingUri, end_search, progress_on, wants_stop
from tunebox.cli.terminal import complain, make_console, printer, say
from tunebox.errors import EXIT_TROUBLE, NoResultError
from tunebox.spec.search_settings import default_out
from tunebox.text import printable, shell_command

if TYPE_CHECKING:
    from tunebox.verbs.findings import Finding

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}  # of a finding's level

Cluster = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Cluster file; the cluster was started with: ray up FILE."),
]


def attach(
    name: Annotated[str, typer.Argument(help="Name of a search.")],
    cluster: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Cluster file; the cluster was started with: ray up FILE."
        ),
    ],
    out: Out = None,
) -> None:
    """Show the progress of a search on a cluster, and download it into <out> at its end.

    Example: tunebox attach digits-1 --cluster cluster.yaml
    """
    from tunebox.verbs.cluster_search import ClusterSession

    console = make_console()
    home = Path(out or default_out())
    session = ClusterSession(
        cluster,
        note=printer(console),
        display=progress_on(console),
        wants_stop=partial(wants_stop, console),
    )
    session.check_known(name, home)
    with without_result():
        result = session.attach(name, home)
    end_search(console, result, cluster=cluster)


def stop(
    name: Annotated[str, typer.Argument(help="Name of a running search.")],
    cluster: Cluster = None,
    out: Out = None,
) -> None:
    """Stop a running search cleanly, as Ctrl-C does; --resume continues it.

    Example: tunebox stop digits-1
    """
    where = [] if out is None else ["--out", out]
    has_begun = True
    if cluster is None:
        from tunebox.verbs.results import find_search
        from tunebox.verbs.stop import stop_search

        stop_search(find_search(name, out))
    else:
        from tunebox.verbs.cluster_search import ClusterSession

        has_begun = ClusterSession(cluster, note=printer(make_console())).stop(name)
        where += ["--cluster", cluster]
    if has_begun:
        go_on = shell_command("tunebox", "search", "--resume", name, *where)
        say(f"{name} has ended; continue it with: {go_on}")
    else:
        say(f"{name} was stopped before it began: nothing was searched")


def doctor(
    file: Annotated[
        str | None,
        typer.Argument(help="A search file, to check its data too.", show_default=False),
    ] = None,
    cluster: Cluster = None,
    out: Out = None,
    address: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster. [default: as for tunebox search]")
    ] = None,
    tracking_uri: TrackingUri = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings as JSON, for other programs.")
    ] = False,
) -> None:
    """Check whether a search could run: cluster, nodes, GPUs, software, storage, MLflow, data.

    With --cluster, all checks run on the head, including those of --out and the data of FILE.

    Example: tunebox doctor --cluster cluster.yaml
    """
    from tunebox.verbs.findings import has_error

    console = make_console()
    findings = []
    for finding in _findings(console, file, cluster, out, address, tracking_uri):
        findings.append(finding)
        if not as_json:
            _print_finding(console, finding)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    if has_error(findings):
        raise typer.Exit(EXIT_TROUBLE)


def _findings(
    console: Console,
    file: str | None,
    cluster: str | None,
    out: str | None,
    address: str | None,
    tracking_uri: str | None,
) -> Iterator["Finding"]:
    from tunebox.cli.file_bar import file_bar
    from tunebox.verbs.doctor import examine, examine_from_home
    from tunebox.verbs.findings import findings_in

    if cluster is not None:
        options = {"--out": out, "--address": address, "--tracking-uri": tracking_uri}
        printed, finding = examine_from_home(cluster, file, options)
        yield from findings_in(printed)
        yield finding
        return
    with file_bar(console) as on_file:
        yield from examine(file, Path(out or default_out()), address, tracking_uri, on_file)


def _print_finding(console: Console, finding: "Finding") -> None:
    """Print a finding as a line that is aligned with the others and not wrapped."""
    line = Text(f"{finding.level:<7}", _STYLES[finding.level])
    line.append(printable(f"  {finding.what:<8}  {finding.text}"), "default")
    console.print(line, soft_wrap=True)


@contextmanager
def without_result() -> Iterator[None]:
    """Print why a search on a cluster has no result, and exit with its exit code."""
    try:
        yield
    except NoResultError as error:
        complain(str(error))
        raise typer.Exit(error.exit_code) from error

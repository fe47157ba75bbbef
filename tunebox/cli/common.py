"""Shared by the commands: options, questions to the user, and the end of a search."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tunebox.cli.terminal import complain
from tunebox.errors import EXIT_INTERRUPTED, EXIT_TROUBLE

if TYPE_CHECKING:
    from tunebox.decisions.events import MakeObserver
    from tunebox.verbs.results import SearchResult

Out = Annotated[
    str | None,
    typer.Option(help="Output folder of all searches. [default: $TUNEBOX_OUT, else results]"),
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Run the user-defined code in the folder of the model."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="Address of MLflow. [default: $MLFLOW_TRACKING_URI, else a database in --out]"
    ),
]


def progress_on(console: Console) -> "MakeObserver":
    """Return a factory for the progress display of a search."""
    from tunebox.reports.progress import SearchProgress

    return partial(SearchProgress, console)


def wants_stop(console: Console) -> bool:
    """Ask the user whether to stop a search on a cluster; without a terminal it goes on."""
    if not (console.is_terminal and sys.stdin.isatty()):
        return False
    try:
        answer = console.input("leave the search running or stop it? [L/s] ")
    except (KeyboardInterrupt, EOFError):
        return False
    return answer.strip().lower() in ("s", "stop")


def end_search(
    console: Console,
    result: "SearchResult",
    tracking_uri: str | None = None,
    cluster: str | None = None,
) -> None:
    """Print the result of a search; exit with its exit code unless that is 0.

    ``cluster`` is the file of the cluster on which it ran, None if it ran here.
    """
    from tunebox.cli.tables import print_search
    from tunebox.decisions.trials import why_no_front

    print_search(console, result, tracking_uri, cluster)
    if result.trouble is not None:
        if result.traceback is not None:
            complain(result.traceback)
        complain(f"error: {result.trouble}")
        raise typer.Exit(EXIT_TROUBLE)
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not result.log.front():
        failed = [trial for trial in result.log.trials.values() if trial.state.has_failed]
        reasons = [trial.reason for trial in failed if trial.reason]
        last = f"; the last trial that failed: {reasons[-1]}" if reasons else ""
        complain(f"error: {why_no_front(result.log)}, so there is no front{last}")
        raise typer.Exit(EXIT_TROUBLE)

"""What the verbs of the command line share: options, exit codes, and how a search ends."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from tunebox.api import SearchResult

EXIT_TROUBLE = 1  # the search could not go on, or found nothing; a model lacks its weights
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

Out = Annotated[
    str | None, typer.Option(help="Folder of all searches. [default: $TUNEBOX_OUT, else results]")
]
TrackingUri = Annotated[
    str | None,
    typer.Option(help="Of MLflow. [default: $MLFLOW_TRACKING_URI, else a database in --out]"),
]


def number_or_word(text: str) -> float | str:
    """Return the number that ``text`` is, else the text: the settings know the words."""
    try:
        return float(text)
    except ValueError:
        return text


def make_console() -> Console:
    """Return the console that the verbs print to."""
    # names and paths are printed as they are: [old] is no markup and :x: no picture
    return Console(markup=False, emoji=False, highlight=False)


def end_search(
    console: Console,
    result: "SearchResult",
    tracking_uri: str | None = None,
    cluster: str | None = None,
) -> None:
    """Print what a search found; end with its exit code unless that is 0.

    ``cluster`` is the file of the cluster on which it ran, None if it ran here.
    """
    from tunebox.tables import print_search
    from tunebox.trials import why_no_front

    print_search(console, result, tracking_uri, cluster)
    if result.trouble is not None:
        if result.traceback is not None:
            typer.echo(result.traceback, err=True)
        typer.echo(f"error: {result.trouble}", err=True)
        raise typer.Exit(EXIT_TROUBLE)
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not result.log.front():
        typer.echo(f"error: {why_no_front(result.log)}, so there is no front", err=True)
        raise typer.Exit(EXIT_TROUBLE)

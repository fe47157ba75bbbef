"""The command ``confirm``, with an option for each of its settings."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunebox.cli.common import Out, TrackingUri, progress_on
from tunebox.cli.options import with_options
from tunebox.cli.terminal import complain, make_console, printer
from tunebox.errors import EXIT_INTERRUPTED, EXIT_TROUBLE
from tunebox.spec.confirm_settings import confirm_options
from tunebox.text import printable, shell_command

if TYPE_CHECKING:
    from rich.console import Console

    from tunebox.verbs.confirmation import ConfirmResult


def confirm(
    name: Annotated[str, typer.Argument(help="Name of a search that has ended.")],
    *,
    out: Out = None,
    tracking_uri: TrackingUri = None,
    **options: Any,
) -> None:
    """Retrain the front of a search and its near misses with new seeds, and compare them.

    Measures each retraining on the validation set and, at its end, on the TEST set. The same
    command continues a confirmation that was stopped or killed; with more --seeds or a larger
    --budget it extends one that has ended.

    Example: tunebox confirm digits-1 --seeds 8
    """
    from tunebox.verbs.confirm import confirm as verb

    console = make_console()
    given = {key: value for key, value in options.items() if value not in (None, [])}
    result = verb(
        name,
        out=out,
        tracking_uri=tracking_uri,
        note=printer(console),
        display=progress_on(console),
        **given,
    )
    _print(console, result, name)
    if result.retrainings.trouble is not None:
        if result.retrainings.traceback is not None:
            complain(result.retrainings.traceback)
        complain(f"error: {printable(result.retrainings.trouble)}")
        raise typer.Exit(EXIT_TROUBLE)
    if result.retrainings.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _print(console: "Console", result: "ConfirmResult", name: str) -> None:
    from tunebox.cli.confirm_tables import confirmed_table, describe_confirmed

    run = result.retrainings
    console.print()
    console.print(confirmed_table(result.confirmed, name))
    console.print()
    where = run.folder.out_option
    export = shell_command("tunebox", "export", name, "--pick", "knee", "--to", "exported", *where)
    again = shell_command("tunebox", "confirm", name, *where)
    ended = run.ended
    if run.trouble is None and not run.interrupted:
        ended = f"{len(run.log.trials)} retrainings of {run.log.epochs_spent} epochs"
    lines = [
        *describe_confirmed(result.confirmed),
        f"ended   {ended}",
        f"files   {result.table}",
        f"        {run.folder.root}",
        f"MLflow  {run.tracking_uri}",
        f"next    {export}    # of this front",
        f"        {again} --seeds N --budget EPOCHS    # more seeds",
    ]
    for line in (*lines, *run.warnings):
        console.print(line, soft_wrap=True)


confirm.__signature__ = with_options(confirm, confirm_options(), 1)  # type: ignore[attr-defined]

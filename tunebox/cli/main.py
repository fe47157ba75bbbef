"""The command line: one function per command, which parses, calls a verb and prints.

Each command imports what it needs: torch, Ray and MLflow take seconds to import.
"""

import json
import sys
from typing import Annotated, Any

import typer
import typer.exceptions
from pydantic import ValidationError
from typer.core import TyperGroup

import tunebox
from tunebox.cli import cluster as cli_cluster
from tunebox.cli.cluster import Cluster
from tunebox.cli.common import Out, TrackingUri
from tunebox.cli.confirm import confirm
from tunebox.cli.models import evaluate, export, predict, train
from tunebox.cli.parts import parts
from tunebox.cli.report import report
from tunebox.cli.search import search
from tunebox.cli.terminal import accept_all_characters, complain, has_reader, make_console, say
from tunebox.errors import (
    EXIT_INTERRUPTED,
    EXIT_TROUBLE,
    EXIT_USER_ERROR,
    OptionError,
    TuneboxError,
    describe_os_error,
)
from tunebox.spec.search_options import REPLAYABLE, spelling
from tunebox.text import printable


class _Commands(TyperGroup):
    """The commands; a pipe that breaks in one of them is named.

    Typer takes every broken pipe for one of standard output, whose reader is gone, and exits in
    silence.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if has_reader(sys.stdout) and has_reader(sys.stderr):
                raise TuneboxError(describe_os_error(error)) from error
            raise


app = typer.Typer(
    name="tunebox",
    cls=_Commands,
    help="Search the training settings of robust image classifiers: "
    "the Pareto front of clean against noisy accuracy.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
spaces_app = typer.Typer(
    help="List the shipped search files, or check a search file.\n\n"
    "Example: tunebox spaces check my_search.yaml",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
app.add_typer(spaces_app, name="spaces")


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the command, also where it ended in good order.
    """
    accept_all_characters()
    try:
        exit_code = app(standalone_mode=False)
    except OptionError as error:
        _fail(f"{spelling(error.name)}{error.message}")
    except TuneboxError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder that is gone or cannot be written
        _fail(describe_os_error(error))
    except typer.exceptions.TyperException as error:
        _fail(f"{_message(error).rstrip('.?')}; see tunebox -h")
    except typer.Abort:  # what typer makes of Ctrl-C at a question
        raise KeyboardInterrupt from None
    if exit_code == EXIT_INTERRUPTED:  # what it makes of Ctrl-C elsewhere
        raise KeyboardInterrupt
    sys.exit(exit_code)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"tunebox {tunebox.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(search)
app.command()(confirm)
app.command()(report)
app.command()(cli_cluster.attach)
app.command()(cli_cluster.stop)
app.command()(cli_cluster.doctor)
app.command()(parts)
app.command()(export)
app.command()(train)
app.command()(evaluate)
app.command()(predict)


@app.command()
def front(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of searches.")],
    wide: Annotated[
        bool,
        typer.Option(
            "--wide", help="Show all settings, not only those that differ between trials."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the fronts as JSON, for other programs.")
    ] = False,
    out: Out = None,
) -> None:
    """Print the front of a search, or compare the fronts of several searches.

    Example: tunebox front digits-1
    """
    from tunebox.cli.confirm_tables import confirmed_table, describe_confirmed
    from tunebox.cli.front_table import front_data, print_front
    from tunebox.cli.tables import comparison_table, describe_constraints
    from tunebox.records.confirmed_table import read_confirmed
    from tunebox.records.trial_tables import read_log
    from tunebox.verbs.confirmation import unfinished
    from tunebox.verbs.results import find_search

    folders = [(name, find_search(name, out)) for name in names]
    logs = [(name, read_log(folder)) for name, folder in folders]
    if as_json:
        typer.echo(json.dumps([front_data(name, log) for name, log in logs], indent=2))
        return
    console = make_console()
    for (name, log), (_, folder) in zip(logs, folders, strict=True):
        confirmed = read_confirmed(folder)
        print_front(console, name, log, wide=wide, confirmed=confirmed)
        if confirmed is not None:
            console.print(confirmed_table(confirmed, name))
            for line in describe_confirmed(confirmed):
                console.print(f"  {line}", soft_wrap=True)
        for line in describe_constraints(log):
            console.print(f"  {line}", soft_wrap=True)
        go_on = unfinished(folder)
        if go_on is not None:
            console.print(f"  its retrainings were stopped; go on with: {go_on}", soft_wrap=True)
        for path in (folder.front, folder.report, folder.front_png):
            if path.exists():
                console.print(f"  {path}", soft_wrap=True)
    if len(logs) > 1:
        console.print(comparison_table(logs))


@app.command()
def replay(
    recording: Annotated[
        str, typer.Argument(help="Name or folder of a search whose trials were not stopped.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,..",
            help="Settings to compare with the defaults; each --set is a row of the table. "
            f"KEY is one of {', '.join(REPLAYABLE)}.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of trials that run at the same time.")
    ] = 8,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Budget of epochs, summed over all trials. [default: 32 full trainings]",
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Number of simulated searches per row, each with its own seed."),
    ] = 5,
    out: Out = None,
) -> None:
    """Compare search settings on recorded learning curves, without training.

    A recording is a search with --min-epochs equal to --max-epochs, so that no trial was stopped.

    Example: tunebox replay digits-1 --set min_epochs=2 --set min_epochs=8,reduction_factor=3
    """
    from tunebox.cli.tables import replay_table
    from tunebox.verbs import replay as verb

    console = make_console()
    rows = [verb.parse_settings(text) for text in settings or []]
    with console.status("replaying", spinner="line"):
        comparison = verb.replay(
            recording, settings=rows, workers=workers, budget=budget, seeds=seeds, out=out
        )
    console.print(replay_table(comparison))


@app.command()
def sync(
    name: Annotated[str, typer.Argument(help="Name of a search.")],
    out: Out = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            help="Address of MLflow. [default: as in the search, without user and password]"
        ),
    ] = None,
) -> None:
    """Send the data of a search that MLflow lacks, after an outage or a killed search.

    Example: tunebox sync digits-1
    """
    result = tunebox.sync(name, out=out, tracking_uri=tracking_uri)
    console = make_console()
    for line in (*result.warnings, *(f"refused {refusal}" for refusal in result.refusals)):
        console.print(line, soft_wrap=True)
    store = f"MLflow at {result.tracking_uri}"
    console.print(f"delivered {result.num_delivered} updates to {store}", soft_wrap=True)
    if result.num_waiting:
        left = f"{store} still lacks {result.num_waiting} updates ({result.error})"
        complain(f"error: {printable(left)}; run the same command again later")
    elif result.error is not None:
        complain(f"error: {printable(f'{store}: {result.error}')}")
    if result.num_waiting or result.error is not None:
        raise typer.Exit(EXIT_TROUBLE)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    out: Out = None,
    tracking_uri: TrackingUri = None,
    cluster: Cluster = None,
) -> None:
    """Serve MLflow's UI for the searches in <out>, or on a cluster, until Ctrl-C.

    Example: tunebox ui --port 5001
    """
    if cluster is not None:
        from tunebox.verbs.cluster_ui import tunnel_to_pages

        if (host, out, tracking_uri) != ("127.0.0.1", None, None):
            raise TuneboxError(
                "--cluster forwards 127.0.0.1 to MLflow on the head; leave out --host, --out and "
                "--tracking-uri"
            )
        tunnel_to_pages(cluster, port, say)
        return
    from tunebox.verbs.ui import serve

    raise typer.Exit(serve(host, port, out, tracking_uri, say))


@spaces_app.callback(invoke_without_command=True)
def spaces(context: typer.Context) -> None:
    """List the search files that ship.

    Example: tunebox spaces
    """
    if context.invoked_subcommand is not None:
        return
    from tunebox.cli.tables import spaces_table
    from tunebox.spec.load import load_spec, shipped_files

    specs = [load_spec(str(path)) for path in shipped_files()]
    make_console().print(spaces_table(specs))


@spaces_app.command()
def check(
    file: Annotated[str, typer.Argument(help="A search file, or - for standard input.")],
    seed: Annotated[int, typer.Option(help="Random seed of the sampled trials.")] = 0,
    data: Annotated[
        bool, typer.Option("--data", help="Also read all images, and report what they contain.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, for other programs.")
    ] = False,
) -> None:
    """Check a search file and print five trials drawn from it.

    Example: tunebox spaces check my_search.yaml --data
    """
    from tunebox.cli.check import check_file, print_check
    from tunebox.cli.file_bar import file_bar

    console = make_console()
    if as_json:
        typer.echo(json.dumps(check_file(file, seed, reads_all=data).as_data(), indent=2))
        return
    with file_bar(console) as on_file:
        checked = check_file(file, seed, reads_all=data, progress=on_file)
    print_check(console, checked)


def _message(error: typer.exceptions.TyperException) -> str:
    formatted = getattr(error, "format_message", None)
    message = " ".join(str(formatted() if formatted else error).split())
    cause = error.__cause__
    if isinstance(cause, ValidationError):  # typer leaves out what was typed
        message = f"{message.partition(',')[0]}, got {cause.errors()[0]['input']!r}"
    return message


def _fail(message: str) -> None:
    complain(f"error: {printable(message)}")  # a file may have a line break in its name
    sys.exit(EXIT_USER_ERROR)

"""The command line: a function per verb, which parses, calls and prints.

Each verb imports what it needs: torch, Ray and MLflow cost seconds.
"""

import random
import sys
from pathlib import Path
from typing import Annotated

import typer
import typer.exceptions
from pydantic import ValidationError

import tunebox
from tunebox import cli_cluster
from tunebox.cli_cluster import Cluster, searcher, without_result
from tunebox.cli_common import (
    EXIT_INTERRUPTED,
    EXIT_TROUBLE,
    EXIT_USER_ERROR,
    Out,
    TrackingUri,
    end_search,
    make_console,
    number_or_word,
)
from tunebox.errors import TuneboxError, describe_os_error

app = typer.Typer(
    name="tunebox",
    help="Search the training settings of robust image classifiers: "
    "the Pareto front of clean against noisy accuracy.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
spaces_app = typer.Typer(
    help="List the search files that ship, or check one.\n\n"
    "Example: tunebox spaces check my_search.yaml",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
app.add_typer(spaces_app, name="spaces")


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        sys.exit(app(standalone_mode=False))
    except TuneboxError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a folder that is gone or cannot be written
        _fail(describe_os_error(error))
    except typer.exceptions.TyperException as error:
        _fail(f"{_message(error).rstrip('.?')}; see tunebox -h")
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(EXIT_INTERRUPTED)


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


@app.command()
def search(
    file: Annotated[
        str | None,
        typer.Argument(
            help="A search file, the name of a shipped one, or - for stdin. [default: digits]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Go on with this search instead; --trials extends it."),
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many settings to try.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Budget of epochs, of all trials together.")
    ] = None,
    max_epochs: Annotated[int | None, typer.Option(help="Epochs of a full training.")] = None,
    min_epochs: Annotated[
        int | None, typer.Option(help="Epochs before which no trial is stopped.")
    ] = None,
    time_budget: Annotated[float | None, typer.Option(help="Seconds to search.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="tpe, nsga2, gp, qmc or random. [default: tpe]")
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Learn from this search in --out; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sampler and of the trainings.")] = None,
    cpus_per_trial: Annotated[
        float | None,
        typer.Option(parser=number_or_word, help="CPUs that a trial takes; node: all of a node."),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            parser=number_or_word,
            help="GPUs that a trial takes; 0.25 packs four on one, auto measures how many pay.",
        ),
    ] = None,
    max_concurrent: Annotated[int | None, typer.Option(help="Trials at once, at most.")] = None,
    max_failures: Annotated[
        int | None, typer.Option(help="Restarts of a trial that lost its worker or its memory.")
    ] = None,
    max_failed_fraction: Annotated[
        float | None, typer.Option(help="Stop the search when more of its trials failed.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of this search. [default: FILE-1, ..]")] = None,
    out: Out = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a Ray cluster; local starts Ray here. [default: $RAY_ADDRESS, else what ray "
            "start made on this machine, else local]"
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
    cluster: Cluster = None,
) -> None:
    """Search FILE and keep the front in MLflow and in <out>/<name>.

    Options win over the search file's own settings. A search whose process is gone, for whatever
    reason, is finished with --resume NAME.

    Example: tunebox search fashion_mnist --trials 100 --time-budget 3600
    """
    if resume is not None and name is not None:
        raise TuneboxError("--resume has the name of the search already; leave out --name")
    console = make_console()
    run = searcher(cluster)
    with without_result():
        result = run(
            file,
            resume=resume is not None,
            trials=trials,
            epochs=epochs,
            max_epochs=max_epochs,
            min_epochs=min_epochs,
            time_budget=time_budget,
            sampler=sampler,
            warm_start=warm_start or None,
            seed=seed,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            max_concurrent=max_concurrent,
            max_failures=max_failures,
            max_failed_fraction=max_failed_fraction,
            name=resume or name,
            out=out,
            address=address,
            tracking_uri=tracking_uri,
            console=console,
        )
    end_search(console, result, tracking_uri, cluster)


app.command()(cli_cluster.attach)
app.command()(cli_cluster.stop)
app.command()(cli_cluster.doctor)


@app.command()
def front(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Searches.")],
    out: Out = None,
) -> None:
    """Print the front of a search, or of several side by side with their hypervolumes.

    Example: tunebox front digits-1
    """
    from tunebox import api
    from tunebox.tables import comparison_table, describe_constraints, front_table, front_title

    console = make_console()
    folders = [(name, api.find_search(name, out)) for name in names]
    logs = [(name, api.read_search(folder)) for name, folder in folders]
    for (name, log), (_, folder) in zip(logs, folders, strict=True):
        console.print(front_table(log, front_title(name, log)))
        for line in describe_constraints(log):
            console.print(f"  {line}", soft_wrap=True)
        for path in (folder.front, folder.front_html, folder.front_png):
            if path.exists():
                console.print(f"  {path}", soft_wrap=True)
    if len(logs) > 1:
        console.print(comparison_table(logs))


@app.command()
def replay(
    recording: Annotated[
        str, typer.Argument(help="A search whose trials were not stopped: its name or folder.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,..",
            help="Settings of search to compare with the defaults; each --set is a row.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Trials at once.")] = 8,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Epochs in total. [default: 32 full trainings]")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Searches a row.")] = 5,
    out: Out = None,
) -> None:
    """Compare settings of a search on recorded learning curves; nothing is trained.

    A recording is a search whose --min-epochs are its --max-epochs, so that no trial was stopped.

    Example: tunebox replay digits-1 --set min_epochs=2 --set min_epochs=8,reduction_factor=3
    """
    from tunebox import api
    from tunebox.tables import replay_table

    console = make_console()
    rows = [api.parse_settings(text) for text in settings or []]
    with console.status("replaying"):
        comparison = api.replay(
            recording, settings=rows, workers=workers, budget=budget, seeds=seeds, out=out
        )
    console.print(replay_table(comparison))


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A search.")],
    to: Annotated[Path, typer.Option(help="Folder to put a folder per trial into.")],
    pick: Annotated[
        str, typer.Option(help="all, knee, best:METRIC, or the id of a trial.")
    ] = "all",
    out: Out = None,
) -> None:
    """Export trials of a search: the fixed trial file, the weights and a card, a folder each.

    Example: tunebox export digits-1 --pick knee --to exported
    """
    from tunebox import api
    from tunebox.records.model_folder import TRIAL_FILE, WEIGHTS_FILE

    exported = api.export(name, pick=pick, to=to, out=out)
    for folder in exported.folders:
        typer.echo(f"{folder}")
        if not (folder / WEIGHTS_FILE).exists():
            typer.echo(
                "  without weights: a search keeps those of its front; make them with\n"
                f"  tunebox train {folder / TRIAL_FILE}"
            )
    for problem in exported.problems:
        typer.echo(f"error: {problem}", err=True)
    if exported.problems:
        raise typer.Exit(EXIT_TROUBLE)


@app.command()
def train(
    file: Annotated[str, typer.Argument(help="A fixed trial file, or - for stdin.")],
    max_epochs: Annotated[int | None, typer.Option(help="Epochs. [default: the file's]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the training. [default: the file's]")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the model. [default: <out>/trained-1, ..]")
    ] = None,
    out: Out = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Train a fixed trial file to full length; the model is a folder as export makes it.

    Example: tunebox train exported/0042/trial.yaml --seed 1
    """
    from tunebox import api

    console = make_console()
    result = api.train(
        file,
        max_epochs=max_epochs,
        seed=seed,
        to=to,
        out=out,
        tracking_uri=tracking_uri,
        console=console,
    )
    console.print(f"model   {result.folder}", soft_wrap=True)
    console.print(f"MLflow  {result.tracking_uri}", soft_wrap=True)
    for line in (f"next    tunebox evaluate {result.folder}", *result.warnings):
        console.print(line, soft_wrap=True)
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported model.")],
    seed: Annotated[int, typer.Option(help="Of the perturbations.")] = 0,
    out: Out = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Evaluate an exported model on the TEST part: clean, perturbed, and its curvature.

    Example: tunebox evaluate exported/0042
    """
    from tunebox import api
    from tunebox.tables import evaluation_table

    console = make_console()
    result = api.evaluate(folder, seed=seed, out=out, tracking_uri=tracking_uri)
    console.print(evaluation_table(result.report, f"{folder} on the test part"))
    for path in result.files:
        console.print(f"  {path}", soft_wrap=True)
    for line in (f"MLflow  {result.tracking_uri}", *result.warnings):
        console.print(line, soft_wrap=True)


@app.command()
def sync(
    name: Annotated[str, typer.Argument(help="A search.")],
    out: Out = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="Of MLflow. [default: as in the search, without user and password]"),
    ] = None,
) -> None:
    """Deliver to MLflow what a search could not: MLflow was away, or the search was killed.

    Example: tunebox sync digits-1
    """
    from tunebox import api

    result = api.sync(name, out=out, tracking_uri=tracking_uri)
    console = make_console()
    for line in (*result.warnings, *(f"refused {refusal}" for refusal in result.refusals)):
        console.print(line, soft_wrap=True)
    store = f"MLflow at {result.tracking_uri}"
    console.print(f"delivered {result.num_delivered} updates to {store}", soft_wrap=True)
    if result.num_waiting:
        left = f"{store} still lacks {result.num_waiting} updates ({result.error})"
        typer.echo(f"error: {left}; run the same command again later", err=True)
        raise typer.Exit(1)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    out: Out = None,
    tracking_uri: TrackingUri = None,
    cluster: Cluster = None,
) -> None:
    """Serve MLflow's pages for the searches in <out>, or on a cluster, until Ctrl-C.

    Example: tunebox ui --port 5001
    """
    if cluster is not None:
        from tunebox.cluster.pages import tunnel_to_pages

        if (host, out, tracking_uri) != ("127.0.0.1", None, None):
            raise TuneboxError(
                "--cluster leads 127.0.0.1 to the MLflow of the head; leave out --host, --out and "
                "--tracking-uri"
            )
        tunnel_to_pages(cluster, port, make_console())
        return
    from tunebox.ui import serve

    raise typer.Exit(serve(host, port, out, tracking_uri))


@spaces_app.callback(invoke_without_command=True)
def spaces(context: typer.Context) -> None:
    """List the search files that ship.

    Example: tunebox spaces
    """
    if context.invoked_subcommand is not None:
        return
    from tunebox.spec.load import load_spec, shipped_files
    from tunebox.tables import spaces_table

    specs = [load_spec(str(path)) for path in shipped_files()]
    make_console().print(spaces_table(specs))


@spaces_app.command()
def check(
    file: Annotated[str, typer.Argument(help="A search file, or - for standard input.")],
    seed: Annotated[int, typer.Option(help="Of the sampled trials.")] = 0,
) -> None:
    """Check a search file and print five trials drawn from it.

    Example: tunebox spaces check my_search.yaml
    """
    from tunebox.spec.load import load_spec
    from tunebox.spec.sample import sample_values
    from tunebox.tables import describe_settings

    spec = load_spec(file)
    console = make_console()
    leaves = len(spec.space.leaves)
    console.print(
        f"{spec.source.name} is valid: {leaves} searched leaves, "
        f"objectives {', '.join(spec.objectives)}",
        soft_wrap=True,
    )
    if spec.constraints:
        console.print(f"constraints {spec.constraint_set}", soft_wrap=True)
    if not leaves:
        console.print("nothing is searched: a fixed trial, for tunebox train")
        return
    generator = random.Random(seed)
    for values in spec.start:
        console.print(f"- start with {describe_settings(values)}")
    for _ in range(5):
        console.print(f"- {describe_settings(sample_values(spec.space, generator))}")


def _message(error: typer.exceptions.TyperException) -> str:
    formatted = getattr(error, "format_message", None)
    message = " ".join(str(formatted() if formatted else error).split())
    cause = error.__cause__
    if isinstance(cause, ValidationError):  # typer leaves out what was typed
        message = f"{message.partition(',')[0]}, got {cause.errors()[0]['input']!r}"
    return message


def _fail(message: str) -> None:
    one_line = " ".join(message.splitlines())  # a file may have a line break in its name
    print(f"error: {one_line}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)

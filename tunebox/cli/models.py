"""The commands that write exported models, or use them: export, train, evaluate, predict."""

import json
from pathlib import Path
from typing import Annotated

import typer

import tunebox
from tunebox.cli.common import Out, TrackingUri, TrustCode
from tunebox.cli.terminal import complain, make_console, say
from tunebox.errors import EXIT_INTERRUPTED, EXIT_TROUBLE
from tunebox.text import printable, shell_command


def export(
    name: Annotated[str, typer.Argument(help="Name of a search.")],
    to: Annotated[
        Path | None, typer.Option(help="Output folder, with a subfolder for each trial.")
    ] = None,
    pick: Annotated[
        str,
        typer.Option(
            help="Trials of the front: all, knee, best:METRIC, or compromise:METRIC>=VALUE (the "
            "best trial within the bound); or the id of any trial."
        ),
    ] = "all",
    format: Annotated[
        str,
        typer.Option(
            metavar="torch_export|onnx|torchscript|none",
            help="Format of the file that can be used without tunebox; its output is checked.",
        ),
    ] = "torch_export",
    register: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Register the trials in MLflow as versions of this model."
        ),
    ] = None,
    out: Out = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Export trials of a search as folders with weights and a card, or as versions in MLflow.

    Example: tunebox export digits-1 --pick knee --to exported
    """
    from tunebox.records.model_folder import TRIAL_FILE, has_model_weights

    kind = None if format == "none" else format
    exported = tunebox.export(
        name,
        pick=pick,
        to=to,
        format=kind,
        register=register,
        out=out,
        tracking_uri=tracking_uri,
    )
    for version in exported.registered:
        say(printable(version))
    for folder in exported.folders:
        say(printable(str(folder)))
        if not has_model_weights(folder):
            why = "see below" if exported.problems else "a search keeps those of its front only"
            say(f"  no weights: {why}; train the trial with")
            say(f"  {shell_command('tunebox', 'train', folder / TRIAL_FILE)}")
    for note in exported.notes:
        say(note)
    for problem in exported.problems:
        complain(f"error: {printable(problem)}")
    if exported.problems:
        raise typer.Exit(EXIT_TROUBLE)


def train(
    file: Annotated[
        str, typer.Argument(help="A trial file without distributions, or - for standard input.")
    ],
    max_epochs: Annotated[
        int | None, typer.Option(help="Number of epochs. [default: the file's]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed of the training. [default: the file's]")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the model. [default: <out>/trained-1, ..]")
    ] = None,
    trust_code: TrustCode = False,
    out: Out = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Train the settings of a trial file, and write a model folder as export does.

    Example: tunebox train exported/0042/trial.yaml --seed 1
    """
    from tunebox.cli.epoch_bar import epoch_bar

    console = make_console()
    with epoch_bar(console) as on_epoch:
        result = tunebox.train(
            file,
            max_epochs=max_epochs,
            seed=seed,
            to=to,
            trust_code=trust_code,
            out=out,
            tracking_uri=tracking_uri,
            on_epoch=on_epoch,
        )
    console.print(f"model   {result.folder}", soft_wrap=True)
    console.print(f"MLflow  {result.tracking_uri}", soft_wrap=True)
    evaluation = shell_command("tunebox", "evaluate", result.folder)
    following = [f"next    {evaluation}"] if result.is_classifier else []
    for line in (*following, *result.warnings):
        console.print(line, soft_wrap=True)
    if result.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported model.")],
    seed: Annotated[int, typer.Option(help="Random seed of the perturbations.")] = 0,
    trust_code: TrustCode = False,
    out: Out = None,
    tracking_uri: TrackingUri = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Additional measurements: corruptions, attacks, certified, correct_times, "
            "membership, or all; may be given several times.",
            show_default=False,
        ),
    ] = None,
    corruption_files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Corrupted test images in the layout of CIFAR-10-C.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(help="Number of test images for attacks and for certificates.")
    ] = 200,
    samples: Annotated[
        int, typer.Option(help="Number of noisy copies of each image for its certificate.")
    ] = 1000,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Divide the corruption errors by those of this already evaluated model.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Evaluate an exported model on the TEST set: clean and perturbed images, and curvature.

    Example: tunebox evaluate exported/0042
    """
    from tunebox.cli.tables import class_table, evaluation_table, numbers_table

    console = make_console()
    result = tunebox.evaluate(
        folder,
        seed=seed,
        trust_code=trust_code,
        out=out,
        tracking_uri=tracking_uri,
        include=include or (),
        corruption_files=corruption_files,
        images=images,
        samples=samples,
        reference=reference,
    )
    console.print(evaluation_table(result.report, f"{folder} on the test set"))
    console.print(class_table(result.report))
    if result.report.numbers:
        console.print(numbers_table(result.report))
    for path in result.files:
        console.print(f"  {path}", soft_wrap=True)
    for line in (f"MLflow  {result.tracking_uri}", *result.warnings):
        console.print(line, soft_wrap=True)


def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported model.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES...", help="Image files, or folders of them.")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all probabilities as JSON, for other programs.")
    ] = False,
    trust_code: TrustCode = False,
) -> None:
    """Classify image files with an exported model, and print classes and probabilities.

    Marks images whose brightness, contrast or range is unlike that of the training images.

    Example: tunebox predict exported/0042 photo.png more_photos
    """
    from tunebox.cli.predictions import predictions_data, predictions_table

    result = tunebox.predict(folder, images, trust_code=trust_code)
    if as_json:
        typer.echo(json.dumps(predictions_data(result), indent=2))
    elif result.predictions:
        make_console().print(predictions_table(result))
    for line in result.warnings:
        complain(f"warning: {printable(line)}")
    for bad in result.bad:
        complain(f"error: {printable(str(bad))}")
    if result.bad:
        raise typer.Exit(EXIT_TROUBLE)

"""``tunebox train``: one fixed trial to full length, on this machine, without Ray."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tunebox.errors import SearchFileError, TuneboxError
from tunebox.interrupt import interruptible
from tunebox.records.flat_settings import flat_settings
from tunebox.records.mlflow_runs import MlflowRuns
from tunebox.records.model_card import model_card
from tunebox.records.model_folder import check_target, write_model_folder
from tunebox.records.provenance import provenance_tags
from tunebox.records.search_folder import next_free_name
from tunebox.records.tracking import resolve_tracking_uri
from tunebox.spec.load import find_source, spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import trial_yaml, with_seed
from tunebox.tables import format_metric
from tunebox.trials import non_finite_metric

if TYPE_CHECKING:
    from tunebox.training.trial_run import TrialRun


@dataclass(frozen=True)
class TrainResult:
    """A trained model and where its records are."""

    folder: Path
    metrics: dict[str, float]  # of the last epoch, on the validation part
    tracking_uri: str
    interrupted: bool
    warnings: list[str]


def train(
    file: str,
    *,
    max_epochs: int | None = None,
    seed: int | None = None,
    to: str | Path | None = None,
    out: str | None = None,
    tracking_uri: str | None = None,
    console: Console | None = None,
) -> TrainResult:
    """Train the fixed trial in ``file`` and write the model as a folder.

    On Ctrl-C the epoch that runs is finished and the model is written as it is then.

    Args:
        file: A search file without distributions, as export writes it, or ``-``.
        max_epochs: Instead of the file's.
        seed: Instead of the file's ``training/seed``.
        to: Of the model; it must not exist. None: ``<out>/trained-1``, ..
        out: The folder of all searches.
        tracking_uri: As in `tunebox.search`.
        console: Where to show progress; None shows nothing.

    Raises:
        TuneboxError: Something that a person can put right.
    """
    spec = _fixed_spec(file, seed, {"max_epochs": max_epochs, "out": out})
    folder_of_all = Path(spec.search.out)
    uri = resolve_tracking_uri(tracking_uri, folder_of_all)
    target = Path(to) if to else folder_of_all / next_free_name(folder_of_all, "trained")
    check_target(target)
    run = _prepare(spec)
    runs = MlflowRuns(uri, folder_of_all)
    runs.start_search(
        target.name,
        flat_settings(spec.trial_config({}).model_dump()),
        {"tunebox.kind": "training", **provenance_tags()},
    )
    with interruptible() as interrupted:
        metrics = _run_epochs(run, runs, console, interrupted)
    _write_model(target, spec, run, metrics)
    runs.log_artifacts([target])
    runs.end_search("KILLED" if interrupted() else "FINISHED")
    runs.close()
    return TrainResult(target, metrics, runs.public_uri, interrupted(), _warnings(runs))


def _warnings(runs: MlflowRuns) -> list[str]:
    if not runs.num_waiting and not runs.refusals:
        return []
    reason = runs.error or next(iter(runs.refusals), "it is slow")
    return [f"MLflow at {runs.public_uri} lacks part of the run ({reason}); the model has all"]


def _fixed_spec(file: str, seed: int | None, overrides: dict[str, Any]) -> SearchSpec:
    source = find_source(file)
    spec = spec_from_source(source, overrides)
    if spec.space.leaves:
        paths = ", ".join(leaf.path for leaf in spec.space.leaves[:3])
        raise SearchFileError(
            f"{spec.source.name}: {len(spec.space.leaves)} settings are distributions ({paths}, "
            "..); train needs a fixed trial, as tunebox export writes it"
        )
    if seed is None:
        return spec
    training = with_seed(source.data.get("training", {}), seed)
    seeded = replace(source, data={**source.data, "training": training})
    return spec_from_source(seeded, overrides)


def _prepare(spec: SearchSpec) -> "TrialRun":
    from tunebox.data.check import prepare_data

    config = spec.trial_config({})
    prepare_data(config.data)

    import torch

    from tunebox.training.trial_run import TrialRun

    # as in the search: on small networks more threads are slower, by far on a busy machine
    cpus = spec.search.cpus_per_trial
    if cpus != "node":
        torch.set_num_threads(max(1, int(cpus)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TrialRun(config, seed=spec.search.seed, max_epochs=spec.search.max_epochs, device=device)


def _run_epochs(
    run: "TrialRun", runs: MlflowRuns, console: Console | None, interrupted: Callable[[], bool]
) -> dict[str, float]:
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    metrics: dict[str, float] = {}
    with Progress(*columns, console=console, disable=console is None) as progress:
        task = progress.add_task("", total=run.max_epochs)
        while run.epoch < run.max_epochs and not interrupted():
            metrics = run.run_epoch()
            runs.log_search_metrics(run.epoch, metrics)
            culprit = non_finite_metric(metrics)
            if culprit is not None:
                runs.end_search("FAILED")
                runs.close()
                raise TuneboxError(
                    f"the training diverged: {culprit} was {metrics[culprit]} at epoch "
                    f"{run.epoch}; try a lower optimizer/lr"
                )
            shown = ", ".join(
                f"{name.removesuffix('_accuracy')} {format_metric(name, metrics[name])}"
                for name in ("clean_accuracy", "noisy_accuracy", "train_loss")
            )
            progress.update(task, completed=run.epoch, description=shown)
    return metrics


def _write_model(
    target: Path, spec: SearchSpec, run: "TrialRun", metrics: dict[str, float]
) -> None:
    weights = run.weights()
    name = spec.source.name
    card = model_card(
        spec.trial_config({}),
        title=spec.question or f"Trained from {Path(name).name}",
        origin=f"Trained from {name}.",
        settings={},
        epochs=run.epoch,
        metrics=metrics,
        weights=weights,
    )
    text = trial_yaml(spec, {}, spec.question)
    write_model_folder(target, trial_yaml=text, weights=weights, card=card)

"""``tunebox train``: one fixed trial to full length, on this machine, without Ray."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebox.clock import now
from tunebox.decisions.trials import Report, non_finite_metric
from tunebox.engine.interrupt import interruptible
from tunebox.errors import RecordsError, SearchFileError, TuneboxError
from tunebox.parts.code import code_files
from tunebox.records.flat_settings import flat_settings
from tunebox.records.model_card import CardFacts, model_card
from tunebox.records.model_folder import CODE_FOLDER, check_target, origin_of, write_model_folder
from tunebox.records.model_json import describe_model
from tunebox.records.provenance import provenance_tags
from tunebox.records.search_folder import next_free_name
from tunebox.spec.load import SearchFile, load_spec, spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.write import trial_yaml
from tunebox.tracking.runs import RunState, uncharted
from tunebox.tracking.single_run import origin_tags, write_single_run
from tunebox.tracking.stores import public_uri, resolve_tracking_uri
from tunebox.training.run import RunIsOver
from tunebox.verbs.own_parts import check_own_parts

if TYPE_CHECKING:
    from tunebox.training.run import Run


@dataclass(frozen=True)
class TrainedEpoch:
    """An epoch of a training: its number from 1, of how many, and its metrics by name."""

    epoch: int
    max_epochs: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainResult:
    """A trained model and where its records are."""

    folder: Path
    metrics: dict[str, float]  # of the last epoch, on the validation set
    tracking_uri: str
    interrupted: bool
    warnings: list[str]
    is_classifier: bool  # false for a training loop of the user's own


def train(
    file: SearchFile,
    *,
    max_epochs: int | None = None,
    seed: int | None = None,
    to: str | Path | None = None,
    trust_code: bool = False,
    out: str | Path | None = None,
    tracking_uri: str | None = None,
    on_epoch: Callable[[TrainedEpoch], None] | None = None,
) -> TrainResult:
    """Train the trial in ``file``, which has no distributions, and write the model as a folder.

    On Ctrl-C, the current epoch is finished, and the model is written in this state.

    Args:
        file: Search file without distributions, as export writes it: its path, ``-``, a dict,
            or a `SearchSpec`.
        max_epochs: Number of epochs instead of the file's.
        seed: Random seed instead of the file's ``training/seed``.
        to: Folder for the model; it must not exist. None: ``<out>/trained-1``, ..
        trust_code: Whether code of the user's own in the folder of an exported trial may run.
        out: Output folder of all searches.
        tracking_uri: Address of MLflow, as in `tunebox.search`.
        on_epoch: Called after each epoch.

    Raises:
        TuneboxError: A mistake that the user can correct.
    """
    where = None if out is None else str(out)
    code = Path(file).parent / CODE_FOLDER if trust_code and isinstance(file, str | Path) else None
    spec = _fixed_spec(file, seed, {"max_epochs": max_epochs, "out": where}, code)
    check_own_parts(spec)
    folder_of_all = Path(spec.search.out)
    uri = resolve_tracking_uri(tracking_uri, folder_of_all)
    target = Path(to) if to else folder_of_all / next_free_name(folder_of_all, "trained")
    check_target(target)
    run, odd = _prepare(spec)
    start = now()
    trained = _train(run, on_epoch)
    last = trained.points[-1].metrics if trained.points else {}
    description = None
    if trained.culprit is None:
        description = _write_model(target, spec, run, last)
    record = RunState(
        name=target.name,
        tags={"tunebox.kind": "training", **_origin_tags(file), **provenance_tags()},
        params=flat_settings(spec.trial({}).model_dump()),
        points=trained.points,
        num_points=len(trained.points),
        uncharted=uncharted(spec.objective_set, spec.constraint_set),
        files=() if trained.culprit else (target,),
        start_time=start,
        status=trained.status,
    )
    warnings = [*odd, *_recorded(uri, folder_of_all, record, description)]
    if trained.culprit is not None:
        raise TuneboxError(
            f"the training diverged: {trained.culprit} was {last[trained.culprit]} at epoch "
            f"{run.epoch}; try a lower learning rate"
        )
    is_interrupted, is_classifier = trained.status == "KILLED", not spec.kind.names_metrics
    return TrainResult(target, last, public_uri(uri), is_interrupted, warnings, is_classifier)


@dataclass(frozen=True)
class _Trained:
    """A training that has ended."""

    points: list[Report]
    culprit: str | None  # the metric that was not finite, after which nothing was trained
    status: str  # as MLflow names it


def _train(run: "Run", on_epoch: Callable[[TrainedEpoch], None] | None) -> _Trained:
    """Train until the last epoch, Ctrl-C, or a metric that is not finite."""
    points: list[Report] = []
    culprit = None
    with interruptible() as interrupted:
        while run.epoch < run.max_epochs and not interrupted() and culprit is None:
            try:
                metrics = run.run_epoch()
            except RunIsOver:
                break
            points.append(Report(run.epoch, metrics, now()))
            culprit = non_finite_metric(metrics)
            if on_epoch is not None:
                on_epoch(TrainedEpoch(run.epoch, run.max_epochs, metrics))
    status = "FAILED" if culprit else "KILLED" if interrupted() else "FINISHED"
    return _Trained(points, culprit, status)


def _origin_tags(file: SearchFile) -> dict[str, str]:
    """Return the tags of the search and the trial whose exported settings are trained again."""
    if not isinstance(file, str | Path):
        return {}
    try:
        return origin_tags(origin_of(Path(file).parent))
    except RecordsError:  # it is no part of what is trained
        return {}


def _recorded(
    uri: str, out: Path, record: RunState, description: dict[str, Any] | None
) -> list[str]:
    """Write the run into MLflow, and return a line if that failed."""
    try:
        write_single_run(uri, out, record, description)
    except RecordsError as error:
        return [f"{error}; the model has all"]
    return []


def _fixed_spec(
    file: SearchFile, seed: int | None, overrides: dict[str, Any], code: Path | None
) -> SearchSpec:
    spec = load_spec(file, overrides, code=code)
    source = spec.source
    if spec.space.leaves:
        paths = ", ".join(leaf.path for leaf in spec.space.leaves[:3])
        raise SearchFileError(
            f"{spec.source.name}: {len(spec.space.leaves)} settings are distributions ({paths}, "
            "..); train needs a fixed trial, as tunebox export writes it"
        )
    if seed is None:
        return spec
    seeded = replace(source, data=spec.kind.seeded(source.data, seed))
    return spec_from_source(seeded, overrides, spec.code)


def _prepare(spec: SearchSpec) -> tuple["Run", list[str]]:
    """Return the run, and a line for each thing in the data that is odd."""
    from tunebox.data.settings import prepare_data

    config = spec.trial({})
    odd: list[str] = []
    if config.data is not None:
        prepare_data(config.data)
        odd = [f"warning: {line}" for line in config.data.inspect().notes]

    import torch

    from tunebox.training.make_run import make_run

    # as in the search: on small networks more threads are slower, by far on a busy machine
    cpus = spec.search.cpus_per_trial
    if cpus != "node":
        torch.set_num_threads(max(1, int(cpus)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    search = spec.search
    return make_run(config, seed=search.seed, max_epochs=search.max_epochs, device=device), odd


def _write_model(
    target: Path, spec: SearchSpec, run: "Run", metrics: dict[str, float]
) -> dict[str, Any]:
    """Write the model, and return what its ``model.json`` says."""
    weights = run.weights() or None
    name, config = spec.source.name, spec.trial({})
    card = model_card(
        config,
        CardFacts(run.epoch, metrics, weights),
        title=spec.question or f"Trained from {Path(name).name}",
        origin=f"Trained from {name}.",
        settings={},
        has_code=bool(spec.references),
    )
    description = describe_model(config, weights, epochs=run.epoch, metrics=metrics)
    write_model_folder(
        target,
        trial_yaml=trial_yaml(spec, {}, spec.question),
        weights=weights,
        card=card,
        description=description,
        code=code_files(spec.code, spec.references),
    )
    return description

"""What an exported trial is made of: its weights, a file without tunebox, a description, a card."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunebox.decisions.confirmed import ConfirmedTrial
from tunebox.decisions.trials import TrialRecord
from tunebox.errors import RecordsError, describe_error, reading
from tunebox.records.checkpoints import read_torch_file
from tunebox.records.model_card import CardFacts, model_card
from tunebox.records.model_folder import tensors_as_bytes
from tunebox.records.model_json import describe_model
from tunebox.records.search_folder import SearchFolder
from tunebox.records.standalone import Standalone, StandaloneFormat, write_standalone
from tunebox.spec.own_trial import OwnTrialConfig
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.trial_config import TrialConfig


@dataclass(frozen=True)
class TrialModel:
    """What an exported trial is made of.

    Attributes:
        weights: As `write_model_folder` takes them; None if there are none.
        standalone: The file that needs no tunebox; None if there is none.
        description: Content of ``model.json``.
        card: The card in Markdown.
        problems: A line for each thing that is missing.
    """

    weights: dict[str, Any] | None
    standalone: Standalone | None
    description: dict[str, Any]
    card: str
    problems: list[str]


def model_of_trial(
    folder: SearchFolder,
    spec: SearchSpec,
    trial: TrialRecord,
    place: Path,
    *,
    format: StandaloneFormat | None,
    confirmed: ConfirmedTrial | None = None,
) -> TrialModel:
    """Return what an exported trial is made of.

    Args:
        folder: Folder of the search.
        spec: Settings of the search.
        trial: The trial.
        place: A folder for the file that needs no tunebox.
        format: Format of that file; None writes none.
        confirmed: What the same settings reached with other seeds, if they were trained again.
    """
    config, origin = spec.trial(trial.settings), origin_line(folder, trial)
    weights, standalone, problems = None, None, []
    try:
        weights = _read_weights(folder, trial, config)
    except RecordsError as error:
        problems.append(f"trial {trial.trial_id} is exported without its weights: {error}")
    if weights is not None and format is not None and isinstance(config, TrialConfig):
        try:
            standalone = standalone_of(config, weights, format, place)
        except RecordsError as error:
            problems.append(f"trial {trial.trial_id}: {error}; its other files are complete")
    described = describe_model(
        config,
        weights,
        epochs=trial.epochs,
        metrics=trial.last_metrics,
        search=folder.name,
        trial=trial.trial_id,
        standalone=standalone,
    )
    card = model_card(
        config,
        CardFacts(trial.epochs, trial.last_metrics, weights, standalone, folder.name),
        title=origin,
        origin=f"{origin}; it ended as {trial.state.value}.",
        settings=trial.settings,
        has_code=bool(spec.references),
        confirmed=confirmed,
    )
    return TrialModel(weights, standalone, described, card, problems)


def origin_line(folder: SearchFolder, trial: TrialRecord) -> str:
    """Return which trial of which search it is."""
    return f"Trial {trial.trial_id} of the search {folder.name}"


def standalone_of(
    config: TrialConfig, weights: dict[str, Any], format: StandaloneFormat, place: Path
) -> Standalone:
    """Write the model of a trial as a file that needs no tunebox, into the folder ``place``.

    Raises:
        RecordsError: It cannot be built or written, or gives other logits; one line.
    """
    from tunebox.models.build import build_from_weights

    try:
        model = build_from_weights(config.model, weights, config.losses.cosine_scale)
    except Exception as error:  # code of the user's own, or weights that do not fit
        raise RecordsError(f"the model cannot be built: {describe_error(error)}") from error
    shape = (weights["channels"], weights["height"], weights["width"])
    return write_standalone(model, shape, format, place)


def _read_weights(
    folder: SearchFolder, trial: TrialRecord, config: object
) -> dict[str, Any] | None:
    if trial.checkpoint is None:
        return None
    path = folder.root / trial.checkpoint
    with reading(path):  # which cannot even be a path, such as one with a zero byte
        is_inside = path.resolve().is_relative_to(folder.root.resolve())
    if not is_inside:
        raise RecordsError(f"its checkpoint {trial.checkpoint} is not in {folder.root}")
    if not path.is_file():
        raise RecordsError(f"its checkpoint is gone: no {path}")
    content = read_torch_file(path)
    with reading(path, problem="is not a checkpoint of tunebox"):
        if isinstance(config, OwnTrialConfig):
            return {"saved": content["saved"]} if "saved" in content else None
        return _checked(content)


def _checked(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights in a checkpoint, in plain types.

    Raises:
        Exception: Something is missing, or of another type.
    """
    from tunebox.data.facts import DataFacts
    from tunebox.models.trained import ModelFormat

    format = ModelFormat.of(content)
    weights = {**asdict(format), "found": str(content.get("found", ""))}
    weights.pop("records_names")
    if not format.records_names:
        weights.pop("class_names")
    if "data" in content:
        weights["data"] = DataFacts.read(content["data"]).as_dict()
    return {**weights, "model": _tensors(content["state"]["model"])}


def _tensors(state: Any) -> dict[str, Any]:
    """Return a state dict if it has tensors by name and nothing else."""
    import torch
    from torch import Tensor

    for name, tensor in state.items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor)):
            raise ValueError(f"model has {name!r:.50}, which is not the name of a weight")
        if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_quantized:
            raise ValueError(f"weight {name!r:.50} is not stored value by value")
        # a view may repeat a few stored values without end, and is written in full
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"weight {name!r:.50} is larger than what is stored of it")
    for name in ("mean", "std"):
        if name not in state:
            raise ValueError(f"model has no {name!r}")
        if not (state[name].is_floating_point() and state[name].isfinite().all()):
            raise ValueError(f"{name!r} of the model has values that are no finite numbers")
    tensors_as_bytes(state)  # what cannot be written is found here, where its file is known
    return dict(state)

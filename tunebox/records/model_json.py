"""``model.json`` of an exported model: what it takes and gives, and what it was made of.

It is written for other programs, and is all that they need beside the weights or the file without
tunebox. Shapes: N images, C channels, H x W pixels, K classes.
"""

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import PositiveInt, TypeAdapter
from typing_extensions import NotRequired, TypedDict

from tunebox import __version__
from tunebox.errors import reading
from tunebox.records.files import read_json
from tunebox.records.standalone import Standalone
from tunebox.spec.search_settings import check_name
from tunebox.spec.trial_config import TrialConfig
from tunebox.spec.trial_kinds import AnyTrialConfig

MODEL_FILE, TENSORS_FILE = "model.json", "model.safetensors"
FORMAT = 1
_PACKAGES = ("torch", "torchvision", "safetensors")
_CONTRACT = (
    "Divide the values of a file by its white, 2**bits - 1, so that they lie in [0, 1]; the "
    "normalisation is part of the model. The file without tunebox does not check its input."
)


class _Input(TypedDict):
    channels: PositiveInt
    height: PositiveInt
    width: PositiveInt
    bits: PositiveInt


class _Output(TypedDict):
    num_classes: PositiveInt


class _File(TypedDict):
    sha256: str


class _Classifier(TypedDict):
    """What `load_model` needs; other fields are for people and other programs."""

    input: _Input
    output: _Output
    classes: NotRequired[list[str] | None]  # absent: version 0.1.0 recorded none
    data: dict[str, Any]
    files: dict[str, _File]


_CLASSIFIER = TypeAdapter(_Classifier)
_NAME = TypeAdapter(str | None)


def describe_model(
    config: AnyTrialConfig,
    weights: Mapping[str, Any] | None,
    *,
    epochs: int,
    metrics: Mapping[str, float],
    search: str | None = None,
    trial: str | None = None,
    standalone: Standalone | None = None,
) -> dict[str, Any]:
    """Return the content of ``model.json``, without the checksums of files.

    Args:
        config: Config of the trial.
        weights: As in `write_model_folder`; None if there are none.
        epochs: Number of epochs trained.
        metrics: Metrics of the last epoch on the validation set.
        search: Name of the search.
        trial: Id of the trial in it.
        standalone: The file that needs no tunebox, if there is one.
    """
    described: dict[str, Any] = {
        "format": FORMAT,
        "search": search,
        "trial": trial,
        "epochs": epochs,
        "metrics": {name: _finite(value) for name, value in metrics.items()},
    }
    if isinstance(config, TrialConfig):
        described |= _classifier(config, weights)
        if config.evaluation.cross_validation is not None:  # of which the weights are one model
            described["cross_validation"] = config.evaluation.cross_validation
    checks = {}
    if standalone is not None:
        checks[standalone.path.name] = {
            "format": standalone.format,
            "compared_on": f"{standalone.num_images} random images",
            "largest_difference_of_a_logit": standalone.difference,
        }
    return {**described, "versions": _versions(), "files": checks}


def _classifier(config: TrialConfig, weights: Mapping[str, Any] | None) -> dict[str, Any]:
    noise = config.losses.noise
    evaluation = config.evaluation
    described: dict[str, Any] = {
        "architecture": config.model.model_dump(mode="json"),
        "noise": {
            "training": None if noise is None else noise.model_dump(mode="json"),
            "evaluation": evaluation.noise.model_dump(mode="json"),
            "evaluation_draws": evaluation.num_draws,
            "evaluation_seed": evaluation.seed,
        },
        "data": {"settings": config.data.model_dump(mode="json")},
    }
    if weights is None:
        return described
    channels, height, width = (int(weights[key]) for key in ("channels", "height", "width"))
    state, names = weights["model"], weights.get("class_names")
    described["data"] |= {"found": weights.get("found") or None, **(weights.get("data") or {})}
    return {
        **described,
        "input": {
            "shape": ["N", channels, height, width],
            "dtype": "float32",
            "range": [0.0, 1.0],
            "channels": channels,
            "height": height,
            "width": width,
            "bits": int(weights.get("bits", 8)),
            "preparation": _CONTRACT,
        },
        "normalisation": {side: state[side].flatten().tolist() for side in ("mean", "std")},
        "output": {
            "shape": ["N", int(weights["num_classes"])],
            "dtype": "float32",
            "num_classes": int(weights["num_classes"]),
            "meaning": "logits; their softmax gives the probabilities of the classes, in order",
        },
        **({"classes": names and list(names)} if "class_names" in weights else {}),
    }


def read_classifier(path: Path) -> dict[str, Any]:
    """Return what is needed to load the model of a ``model.json``.

    Returns:
        ``channels``, ``height``, ``width``, ``bits``, ``num_classes`` and ``class_names`` as
        `ModelFormat.of` takes them; ``sha256`` by the name of a file, and ``data``, which may be
        empty.

    Raises:
        RecordsError: The file is damaged, or a later version of tunebox wrote it.
    """
    with reading(path, advice="export the trial again"):
        content = _CLASSIFIER.validate_python(read_json(path, FORMAT))
        return {
            **content["input"],
            **content["output"],
            **({"class_names": content["classes"]} if "classes" in content else {}),
            "data": content["data"],
            "sha256": {name: file["sha256"] for name, file in content["files"].items()},
        }


@dataclass(frozen=True)
class Origin:
    """Where a model is from.

    Attributes:
        search: Name of its search; None if it is from none.
        trial: Id of its trial in the search; None if that is not known.
    """

    search: str | None = None
    trial: str | None = None


def read_origin(path: Path) -> Origin:
    """Return where the model of a ``model.json`` is from.

    Raises:
        RecordsError: The file is damaged, or a later version of tunebox wrote it.
    """
    with reading(path, advice="it names the search of the model; export the trial again"):
        content = read_json(path, FORMAT)
        search = _NAME.validate_python(content.get("search"))
        if search is not None:
            check_name(search)  # it is the name of a folder
        return Origin(search, _NAME.validate_python(content.get("trial")))


def _versions() -> dict[str, str]:
    versions = {"tunebox": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no other numbers

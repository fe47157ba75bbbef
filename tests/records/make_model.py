"""Small trained-looking models for the tests of what is exported."""

from pathlib import Path
from typing import Any

import torch

from tests.records.make_log import make_spec
from tunebox.decisions.trials import TrialRecord
from tunebox.models.base import Classifier
from tunebox.models.build import build_classifier
from tunebox.records.model_folder import write_model_folder
from tunebox.records.model_json import describe_model
from tunebox.records.search_folder import SearchFolder
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.write import trial_yaml

SHAPE: dict[str, Any] = {"channels": 1, "height": 8, "width": 8, "num_classes": 10}


NAMES = [f"digit {number}" for number in range(10)]
FOUND = "1,797 images of a test"
FACTS: dict[str, Any] = {
    "sha256": "ab" * 32,
    "num_images": {"train": 9, "validation": 4},
    "values": [0.0, 1.0],
    "brightness": [0.2, 0.4],
    "contrast": [0.1, 0.3],
}


def make_classifier(spec: SearchSpec, values: Values, seed: int) -> Classifier:
    """A classifier with normalisation that is not the identity."""
    settings = spec.trial_config(values).model
    return build_classifier(settings, **SHAPE, mean=[0.3], std=[0.4], seed=seed).eval()


def weights_of(model: Classifier) -> dict[str, Any]:
    return {**SHAPE, "class_names": NAMES, "bits": 8, "model": model.state_dict()}


def write_model(to: Path, spec: SearchSpec, values: Values, seed: int = 5) -> Classifier:
    """Write an exported model, and return the classifier that is in it."""
    model = make_classifier(spec, values, seed)
    weights = weights_of(model)
    write_model_folder(
        to,
        trial_yaml=trial_yaml(spec, values, "A trial"),
        weights=weights,
        card="# A card\n",
        description=describe_model(spec.trial_config(values), weights, epochs=3, metrics={}),
    )
    return model


def make_old(folder: Path, weights: dict[str, Any]) -> Path:
    """Turn an exported model into one of version 0.1.0, and return the file with its weights."""
    for name in ("model.json", "model.safetensors"):
        (folder / name).unlink()
    (folder / "README.md").rename(folder / "card.md")
    torch.save({"format": 1, **weights}, folder / "weights.pt")
    return folder / "weights.pt"


def write_checkpoint(folder: SearchFolder, trial: TrialRecord, seed: int = 0) -> Classifier:
    """Write what a trial leaves behind, and return the classifier that is in it."""
    assert trial.checkpoint is not None
    model = make_classifier(make_spec(), trial.settings, seed)
    path = Path(folder.root / trial.checkpoint)
    path.parent.mkdir(parents=True)
    state = {"model": model.state_dict(), "epoch": 3}
    meaning = {"class_names": NAMES, "bits": 8, "found": FOUND, "data": FACTS}
    torch.save({"format": 1, **SHAPE, **meaning, "state": state}, path)
    return model

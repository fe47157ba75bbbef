"""Exported models and checkpoints that tunebox reads, as `tests.foreign_files` has other files."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.foreign_files import CHECKPOINT, SETTINGS, small_spec
from tunebox.errors import RecordsError


def make_model(folder: Path) -> Path:
    from tests.records.make_model import write_model

    write_model(folder / "model", small_spec(), SETTINGS)
    return folder / "model" / "model.safetensors"


def make_old_model(folder: Path) -> Path:
    from tests.records.make_model import make_classifier, make_old, weights_of

    make_model(folder)
    return make_old(folder / "model", weights_of(make_classifier(small_spec(), SETTINGS, seed=5)))


def make_model_json(folder: Path) -> Path:
    return make_model(folder).parent / "model.json"


def make_trial_file(folder: Path) -> Path:
    return make_model(folder).parent / "trial.yaml"


def read_model(folder: Path) -> object:
    from tunebox.records.model_folder import load_model

    return load_model(folder / "model")


def read_tensors(folder: Path) -> object:
    """Read the weights of somebody who wrote the right checksum beside them."""
    import hashlib

    from tunebox.records.files import read_json, write_json

    path = folder / "model" / "model.json"
    content = read_json(path, 1)
    weights = (folder / "model" / "model.safetensors").read_bytes()
    content["files"]["model.safetensors"]["sha256"] = hashlib.sha256(weights).hexdigest()
    write_json(path, {name: value for name, value in content.items() if name != "crc"})
    return read_model(folder)


def make_pretrained(folder: Path) -> Path:
    import timm
    import torch

    torch.manual_seed(0)
    path = folder / "pretrained.pt"
    torch.save(timm.create_model("test_resnet", num_classes=7).state_dict(), path)
    return path


def read_pretrained(folder: Path) -> object:
    from tunebox.models.networks.timm import TimmSettings
    from tunebox.models.settings import ImageShape

    path = str(folder / "pretrained.pt")
    return TimmSettings(kind="timm", name="test_resnet", pretrained=path).build(
        ImageShape(3, 32, 32, 10)
    )


def make_checkpoint(folder: Path) -> Path:
    import torch

    from tests.records.make_model import SHAPE, make_classifier
    from tunebox.records.search_folder import create_folder
    from tunebox.spec.write import search_yaml

    search, spec = create_folder(folder, "s"), small_spec()
    search.search_file.write_text(search_yaml(spec), encoding="utf-8")
    path = search.root / CHECKPOINT
    path.parent.mkdir(parents=True)
    state = {"model": make_classifier(spec, SETTINGS, 5).state_dict(), "epoch": 3}
    torch.save({"format": 1, **SHAPE, "state": state}, path)
    return path


def read_checkpoint(folder: Path) -> object:
    """Export a trial from its checkpoint, and load the model."""
    from tunebox.decisions.trials import TrialRecord, TrialState
    from tunebox.records.export import export_trials
    from tunebox.records.model_folder import load_model
    from tunebox.records.search_folder import SearchFolder

    trial = TrialRecord("0000", SETTINGS, 1.0, TrialState.FINISHED, checkpoint=CHECKPOINT)
    shutil.rmtree(folder / "to", ignore_errors=True)
    exported = export_trials(SearchFolder(folder / "s"), [trial], folder / "to", format=None)
    for problem in exported.problems:
        raise RecordsError(problem)
    try:
        return load_model(folder / "to" / "0000")
    except RecordsError as error:
        exported_as = str(error).replace("model.safetensors", "000009.pt")
        raise RecordsError(exported_as) from error

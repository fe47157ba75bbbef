"""``model.json``, read as another program reads it."""

import hashlib
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.records.make_log import make_log, make_spec
from tests.records.make_model import FACTS, NAMES, write_checkpoint
from tunebox.records.export import export_trials
from tunebox.records.files import write_text
from tunebox.records.model_folder import origin_of
from tunebox.records.model_json import Origin
from tunebox.records.search_folder import create_folder
from tunebox.spec.write import search_yaml


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = create_folder(tmp_path / "out", "made-1")
    write_text(folder.search_file, search_yaml(make_spec()))
    front = make_log(30).front()
    trial = next(t for t in front if t.settings["losses"] == "noisy")
    write_checkpoint(folder, trial)
    trial.last_metrics["train_loss"] = float("nan")  # which JSON has no number for
    [target] = export_trials(folder, [trial], tmp_path / "exported", format=None).folders
    return target


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_a_program_finds_all_that_it_needs(exported: Path) -> None:
    text = (exported / "model.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=refuse)
    assert content["search"] == "made-1"
    assert content["trial"] == exported.name
    assert content["metrics"]["train_loss"] is None
    assert content["input"]["shape"] == ["N", 1, 8, 8]
    assert content["input"]["range"] == [0, 1]
    assert (content["input"]["dtype"], content["input"]["bits"]) == ("float32", 8)
    assert content["output"]["shape"] == ["N", 10]
    assert content["classes"] == NAMES
    assert content["normalisation"]["mean"] == pytest.approx([0.3])
    assert content["normalisation"]["std"] == pytest.approx([0.4])
    assert content["noise"]["evaluation"] == {"kind": "gaussian", "std": 0.3, "clamp": True}
    assert content["noise"]["training"]["kind"] == "gaussian"
    assert content["data"]["sha256"] == FACTS["sha256"]
    assert content["data"]["num_images"] == FACTS["num_images"]
    assert content["data"]["settings"]["kind"] == "digits"
    assert {"tunebox", "torch", "python"} <= content["versions"].keys()


def test_weights_are_read_without_tunebox(exported: Path) -> None:
    content = json.loads((exported / "model.json").read_bytes())
    path = exported / "model.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert content["files"] == {"model.safetensors": {"sha256": digest}}
    state = load_file(path)
    assert state["head.weight"].shape[0] == 10
    assert state["mean"].flatten().tolist() == pytest.approx([0.3])


def test_the_search_of_a_model(exported: Path) -> None:
    assert origin_of(exported) == Origin("made-1", exported.name)
    (exported / "model.json").unlink()
    assert origin_of(exported) == Origin()
    (exported / "origin.json").write_text('{"format": 0, "search": "old-1"}', encoding="utf-8")
    assert origin_of(exported) == Origin("old-1", exported.name)  # of version 0.1.0

"""The card of an exported model, read as a model hub reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.records.make_log import make_log, make_spec
from tests.records.make_model import FOUND, NAMES, write_checkpoint
from tunebox.decisions.trials import TrialRecord
from tunebox.records.export import export_trials
from tunebox.records.files import write_text
from tunebox.records.model_folder import load_model
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.spec.write import search_yaml


def exported(tmp_path: Path, trial: TrialRecord, *, has_weights: bool = True) -> Path:
    """Export a trial of a search; return its folder."""
    folder: SearchFolder = create_folder(tmp_path / "out", "made-1")
    write_text(folder.search_file, search_yaml(make_spec()))
    if has_weights:
        write_checkpoint(folder, trial)
    else:
        trial.checkpoint = None
    [target] = export_trials(folder, [trial], tmp_path / "exported", format=None).folders
    return target


def front_trial() -> TrialRecord:
    return make_log(30).front()[0]


def head_and_text(card: str) -> tuple[dict[str, Any], str]:
    """Split a card as model hubs do: YAML between two lines of dashes, then Markdown."""
    empty, head, text = card.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(head), text


def test_the_card_says_what_the_numbers_are(tmp_path: Path) -> None:
    trial = front_trial()
    target = exported(tmp_path, trial)
    _, card = head_and_text((target / "README.md").read_text(encoding="utf-8"))
    assert card.lstrip("\n").startswith(f"# Trial {trial.trial_id} of the search made-1\n")
    assert "**validation** part" in card
    assert "optimistic" in card
    assert "`tunebox report made-1 --open`" in card
    assert f"{trial.last_metrics['clean_accuracy']:.6g}" in card
    assert "(N, 1, 8, 8)" in card
    assert "divided by its white, 255 in" in card
    assert all(path in card for path in trial.settings)
    assert "| validation_fraction | 0.2 |" in card
    assert "| 3 | digit 3 |" in card
    assert f"Found in the files: {FOUND}." in card
    assert load_model(target).class_names == tuple(NAMES)


@pytest.mark.parametrize("has_weights", [True, False])
def test_the_head_has_the_metrics_of_the_trial(tmp_path: Path, has_weights: bool) -> None:
    trial = front_trial()
    trial.last_metrics["noisy_loss"] = float("inf")  # which model hubs do not take
    target = exported(tmp_path, trial, has_weights=has_weights)
    head, _ = head_and_text((target / "README.md").read_text(encoding="utf-8"))
    assert head["license"] == "unknown"
    assert head["pipeline_tag"] == "image-classification"
    [model] = head["model-index"]
    assert model["name"] == f"Trial {trial.trial_id} of the search made-1"
    [result] = model["results"]
    assert result["dataset"] == {"type": "digits", "name": "digits"}
    found = {metric["name"]: metric["value"] for metric in result["metrics"]}
    measured = ("clean_accuracy", "noisy_accuracy")  # the others are of the training set
    assert found == {f"{name} on the validation set": trial.last_metrics[name] for name in measured}


def test_hugging_face_reads_the_card(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    trial = front_trial()
    target = exported(tmp_path, trial)
    card = hub.ModelCard.load(target / "README.md")
    assert card.data.license == "unknown"
    results = {result.metric_name: result for result in card.data.eval_results}
    clean = results["clean_accuracy on the validation set"]
    assert clean.metric_type == "accuracy"
    assert clean.task_type == "image-classification"
    assert clean.metric_value == trial.last_metrics["clean_accuracy"]
    assert card.data.model_name == f"Trial {trial.trial_id} of the search made-1"

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tunebox.data.image_set import ImageSet
from tunebox.data.parts import TrainingParts
from tunebox.models.base import Classifier
from tunebox.noise.gaussian import GaussianSettings
from tunebox.spec.training_settings import EvaluationSettings
from tunebox.spec.trial_config import TrialConfig
from tunebox.training import evaluate
from tunebox.training.evaluate import (
    Evaluator,
    accuracy_and_loss,
    accuracy_by_class,
    clean_batches,
    noisy_batches,
    predicted,
)
from tunebox.training.robustness import evaluate_robustness
from tunebox.training.trial_run import TrialRun

MakeConfig = Callable[..., TrialConfig]
NOISE = GaussianSettings(kind="gaussian", std=0.3)


def stacked_noise(images: ImageSet, seed: int = 0, num_draws: int = 3) -> Tensor:
    made = noisy_batches(images, NOISE.build(), seed=seed, num_draws=num_draws, batch_size=100)
    return torch.cat([batch for batch, _ in made])


def test_noisy_images_are_the_same_at_every_call(parts: TrainingParts) -> None:
    first = stacked_noise(parts.validation)
    assert torch.equal(stacked_noise(parts.validation), first)
    assert not torch.equal(stacked_noise(parts.validation, seed=1), first)
    count = len(parts.validation)
    assert len(first) == 3 * count
    assert not torch.equal(first[:count], first[count : 2 * count])  # each draw is its own


@pytest.mark.parametrize("keep_bytes", [0, 2**30])
def test_evaluations_of_one_model_agree_to_the_bit(
    keep_bytes: int, parts: TrainingParts, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluationSettings(noise=NOISE, num_draws=2, batch_size=100)
    expected = Evaluator(parts.validation, settings)(model)
    monkeypatch.setattr(evaluate, "_KEEP_BYTES", keep_bytes)
    evaluator = Evaluator(parts.validation, settings)
    assert evaluator(model) == evaluator(model) == expected


def test_values_against_a_plain_computation(parts: TrainingParts, model: Classifier) -> None:
    accuracy, loss = accuracy_and_loss(model, clean_batches(parts.validation, 50))
    assert model.training  # put back as it was
    with torch.no_grad():
        logits = model.eval()(parts.validation.images.float() / 255)
    labels = parts.validation.labels
    own = logits.softmax(dim=1)[torch.arange(len(labels)), labels]
    assert accuracy == (logits.argmax(dim=1) == labels).double().mean().item()
    assert loss == pytest.approx(-own.log().mean().item(), rel=1e-6)


def test_accuracy_by_class_is_that_of_the_images_of_each_class_alone(
    parts: TrainingParts, model: Classifier
) -> None:
    images = parts.validation.select(torch.nonzero(parts.validation.labels != 3).flatten())
    found = accuracy_by_class(predicted(model, clean_batches(images, 50)), images.class_names)
    with torch.no_grad():
        chosen = model.eval()(images.images.float() / 255).argmax(dim=1)
    names = images.class_names or tuple(map(str, range(images.num_classes)))
    expected = {
        name: (chosen[images.labels == label] == label).double().mean().item()
        for label, name in enumerate(names)
        if label != 3  # without an image
    }
    assert found == pytest.approx(expected)


def test_evaluation_changes_nothing_in_the_model(parts: TrainingParts, model: Classifier) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Evaluator(parts.validation, EvaluationSettings(noise=NOISE))(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_metrics_with_settings_are_reported_in_their_turn(
    parts: TrainingParts, make_config: MakeConfig
) -> None:
    metrics = [
        "clean_accuracy",
        "margins",
        {"kind": "pgd", "name": "strong", "epsilon": 0.5, "images": 20, "steps": 2},
        {"kind": "curvature", "images": 5, "directions": 2, "cadence": "end"},
        {"kind": "certified", "images": 5, "samples": 20, "selection_samples": 5},
    ]
    config = make_config("normal", evaluation={"noise": NOISE, "metrics": metrics})
    first, last = (
        run.run_epoch()
        for run in [TrialRun(config, seed=0, max_epochs=2, device="cpu", parts=parts)]
        for _ in range(2)
    )
    expected = {"class_margin", "strong_pgd_accuracy", "strong_pgd_loss", "certified_accuracy"}
    assert expected < first.keys()
    assert "curvature" not in first
    assert last["curvature"] > 0
    assert last["strong_pgd_accuracy"] < last["clean_accuracy"]


def test_images_are_taken_evenly(parts: TrainingParts, model: Classifier) -> None:
    count = len(parts.validation)
    few = evaluate.evenly(parts.validation, 3)
    expected = parts.validation.select(torch.tensor([0, count // 3, 2 * count // 3]))
    assert isinstance(few, ImageSet)
    assert isinstance(expected, ImageSet)
    assert torch.equal(few.images, expected.images)
    assert len(evaluate.evenly(parts.validation, 10 * count)) == count


def test_robustness_of_a_trained_model(parts: TrainingParts, make_config: MakeConfig) -> None:
    run = TrialRun(make_config("normal"), seed=0, max_epochs=3, device="cpu", parts=parts)
    for _ in range(3):
        run.run_epoch()
    report = evaluate_robustness(
        run.model, parts.validation, seed=0, device="cpu", curvature_images=40
    )
    again = evaluate_robustness(
        run.model, parts.validation, seed=0, device="cpu", curvature_images=40
    )
    assert report == again
    rows = {(row.perturbation, row.strength): row for row in report.rows}
    assert len(rows) == len(report.rows)
    assert {row.perturbation for row in report.rows} == {
        "clean",
        "gaussian",
        "uniform",
        "patch_mask",
        "down_up",
        "gaussian_then_patch_mask",
    }
    clean = run._evaluate(run.model)["clean_accuracy"]
    assert rows["clean", 0].accuracy == clean
    assert rows["gaussian", 0.5].accuracy < rows["gaussian", 0.02].accuracy
    assert rows["gaussian", 0.02].loss == pytest.approx(rows["clean", 0].loss, rel=0.05)
    curvature = report.curvature
    assert curvature.num_images == 40
    assert 0 <= curvature.quantile_05 <= curvature.median <= curvature.quantile_95


def test_few_images_are_enough_for_the_curvature(parts: TrainingParts, model: Classifier) -> None:
    few = parts.validation.select(torch.arange(5))
    report = evaluate_robustness(model, few, seed=0, device="cpu")
    assert report.curvature.num_images == 5

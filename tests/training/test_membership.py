"""Guesses about the images of a training, and the noise against them: known values, brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

from tests.training.tiny_model import tiny_model
from tunebox.data.image_set import ImageSet
from tunebox.training.dyna_noise import DynaNoise, confidences
from tunebox.training.membership import (
    Answers,
    attack_accuracies,
    best_threshold,
    membership_numbers,
    midput_score,
    scores_of,
)

LOGITS = torch.tensor([[2, 0, -1], [5, 0, 0], [1, 1, 1]], dtype=torch.float64)


def draw(count: int, num_classes: int = 3, seed: int = 0, scale: float = 1.0) -> Answers:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(count, num_classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(num_classes, (count,), generator=generator)
    return Answers(logits.softmax(dim=1), labels)


def test_reference_of_dyna_noise() -> None:
    assert confidences(LOGITS).tolist() == pytest.approx([0.522792, 0.927300, 0], abs=1e-6)
    variances = DynaNoise().variances(LOGITS)
    assert variances.tolist() == pytest.approx([0.613675, 0.856380, 0.3], abs=1e-6)
    still = DynaNoise(variance=0.0)
    published = still.probabilities(LOGITS[:1], torch.Generator())
    assert published[0].tolist() == pytest.approx([0.390694, 0.319873, 0.289433], abs=1e-6)


def test_confidence_of_certain_predictions_is_1() -> None:
    assert confidences(torch.tensor([[1e4, 0, 0], [0, -1e4, 1e4]])).tolist() == [1, 1]
    assert confidences(torch.tensor([[3.0]])).tolist() == [1]  # of a single class


def test_noise_has_the_variance_that_it_should() -> None:
    """A small temperature would hide it: at a large one, softmax is linear in the logits."""
    logits = LOGITS[:1].repeat(20_000, 1)
    noise = DynaNoise(temperature=1e4)
    p = noise.probabilities(logits, torch.Generator().manual_seed(1))
    back = 1e4 * (p.log() - p.log().mean(dim=1, keepdim=True))  # logits without their mean
    expected = 0.613675 * 2 / 3  # a third of the variance is in the mean of three logits
    assert back.var(dim=0).mean().item() == pytest.approx(expected, rel=0.02)
    assert back.mean(dim=0).tolist() == pytest.approx(
        (LOGITS[0] - LOGITS[0].mean()).tolist(), abs=0.02
    )


def test_more_draws_come_nearer_to_the_mean() -> None:
    one, many = (
        DynaNoise(draws=n).probabilities(LOGITS, torch.Generator().manual_seed(2)) for n in (1, 900)
    )
    expected = DynaNoise(draws=900).probabilities(LOGITS, torch.Generator().manual_seed(3))
    torch.testing.assert_close(many, expected, rtol=0, atol=0.005)
    assert (one - expected).abs().amax() > 0.01
    torch.testing.assert_close(one.sum(dim=1), torch.ones(3).double())


def test_scores_are_those_of_their_formulas() -> None:
    answers = draw(50)
    scores = scores_of(answers)
    p, labels = answers.probabilities.numpy(), answers.labels.numpy()
    np.testing.assert_allclose(scores["entropy"], -entropy(p, axis=1))
    np.testing.assert_allclose(scores["confidence"], p.max(axis=1))
    modified = [
        -(1 - row[y]) * np.log(row[y])
        - sum(row[k] * np.log(1 - row[k]) for k in range(3) if k != y)
        for row, y in zip(p, labels, strict=True)
    ]
    np.testing.assert_allclose(scores["modified_entropy"], -np.array(modified))
    np.testing.assert_allclose(scores["loss"], np.log(p[np.arange(50), labels]))


def test_scores_of_certain_predictions_are_finite() -> None:
    answers = Answers(torch.eye(3).double(), torch.tensor([0, 2, 2]))
    assert all(score.isfinite().all() for score in scores_of(answers).values())


@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_the_best_of_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    members = (torch.randn(40, generator=generator).double() + 0.4).round(decimals=1)
    others = torch.randn(60, generator=generator).double().round(decimals=1)

    def share(threshold: float) -> float:
        right = (members >= threshold).double().mean() + (others < threshold).double().mean()
        return right.item() / 2

    best = max(share(value) for value in [*members.tolist(), *others.tolist(), math.inf])
    assert share(best_threshold(members, others)) == pytest.approx(best)


def test_attacks_of_equal_answers_are_at_chance() -> None:
    found = attack_accuracies(draw(4000), draw(4000, seed=1))
    assert list(found) == ["confidence", "loss", "entropy", "modified_entropy"]
    assert list(found.values()) == pytest.approx([0.5] * 4, abs=0.025)


def test_attacks_of_confident_answers_to_members_succeed() -> None:
    found = attack_accuracies(draw(400, scale=9.0), draw(400, seed=1, scale=0.1))
    assert found["confidence"] > 0.95
    assert found["entropy"] > 0.95


def test_midput_by_hand() -> None:
    before, after = {"loss": 0.8, "entropy": 0.7}, {"loss": 0.6, "entropy": 0.6}
    assert midput_score(before, after, 0.9, 0.85) == pytest.approx(0.15 - 0.05)


def test_numbers_of_a_model() -> None:
    model = tiny_model()

    def images(labels_of: Tensor, pixels: Tensor) -> ImageSet:
        return ImageSet(pixels, labels_of, num_classes=3)

    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(256, (200, 1, 4, 4), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        right = model(pixels.float() / 255).argmax(dim=1)
    known = images(right[:80], pixels[:80])
    unknown = images((right[80:] + 1) % 3, pixels[80:])  # all wrong, so that the loss tells
    numbers = membership_numbers(model, known, unknown, seed=0)
    assert numbers == membership_numbers(model, known, unknown, seed=0)
    assert numbers["membership/images"] == 160
    assert numbers["membership/loss"] > 0.95
    assert numbers["membership/confidence"] < 0.65  # it does not look at the label
    assert 0 < numbers["membership/dyna_noise/accuracy"] < 1
    names = ("confidence", "loss", "entropy", "modified_entropy")
    fall = sum(numbers[f"membership/{n}"] - numbers[f"membership/dyna_noise/{n}"] for n in names)
    expected = fall / 4 + numbers["membership/dyna_noise/accuracy"]  # the model's own is 0
    assert numbers["membership/dyna_noise/midput"] == pytest.approx(expected)

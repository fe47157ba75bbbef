"""Wrong labels: how many, which, and that the validation and test images keep theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tunebox.data.image_set import ImageSet
from tunebox.data.label_noise import with_label_noise
from tunebox.data.parts import load_test_part, load_training_parts
from tunebox.data.sets.digits import DigitsSettings
from tunebox.data.settings import LabelNoiseSettings
from tunebox.errors import DataError


def digits(**changes: Any) -> DigitsSettings:
    return DigitsSettings.model_validate({"kind": "digits", **changes})


def noisy_labels(kind: Any, rate: float, seed: int = 0, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Labels before and after, of 1000 images of class 0 and 100 of each other one."""
    labels = torch.cat([torch.zeros(900, dtype=torch.int64), torch.arange(100 * classes) % classes])
    images = ImageSet(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, classes)
    before = labels.clone()
    changed = with_label_noise(images, LabelNoiseSettings(kind=kind, rate=rate), seed)
    assert torch.equal(images.labels, before)
    return before, changed.labels


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["symmetric", "asymmetric"])
def test_share_of_each_class_is_wrong(kind: str, rate: float) -> None:
    before, after = noisy_labels(kind, rate)
    for label, size in enumerate([1000, 100, 100, 100]):
        of_class = before == label
        assert int((after[of_class] != label).sum()) == rate * size
    assert after.dtype == torch.int64


def test_symmetric_noise_is_even_over_the_other_classes() -> None:
    before, after = noisy_labels("symmetric", 0.9)
    counts = torch.bincount(after[(before == 0) & (after != 0)], minlength=4)
    assert counts[0] == 0
    assert ((counts[1:] - 300).abs() < 60).all()  # four standard deviations


def test_asymmetric_noise_goes_to_the_next_class() -> None:
    before, after = noisy_labels("asymmetric", 0.5)
    wrong = before != after
    assert torch.equal(after[wrong], (before[wrong] + 1) % 4)


def test_higher_rate_keeps_the_wrong_labels_of_a_lower_one() -> None:
    before, low = noisy_labels("symmetric", 0.2)
    _, high = noisy_labels("symmetric", 0.6)
    wrong = before != low
    assert torch.equal(low[wrong], high[wrong])


def test_seeds() -> None:
    _, first = noisy_labels("symmetric", 0.3, seed=5)
    assert torch.equal(first, noisy_labels("symmetric", 0.3, seed=5)[1])
    assert not torch.equal(first, noisy_labels("symmetric", 0.3, seed=6)[1])


def test_train_part_alone_is_changed() -> None:
    plain, noise = digits(), digits(label_noise={"kind": "symmetric", "rate": 0.4})
    before, after = load_training_parts(plain), load_training_parts(noise)
    for part in ("train", "validation"):
        assert torch.equal(getattr(before, part).images, getattr(after, part).images)
    assert torch.equal(before.validation.labels, after.validation.labels)
    assert torch.equal(load_test_part(plain).labels, load_test_part(noise).labels)
    wrong = (before.train.labels != after.train.labels).double().mean().item()
    assert wrong == pytest.approx(0.4, abs=0.005)


def test_own_seed_changes_the_wrong_labels_and_not_the_split() -> None:
    noise = {"kind": "symmetric", "rate": 0.4}
    first = load_training_parts(digits(label_noise=noise)).train
    same = load_training_parts(digits(label_noise={**noise, "seed": 0})).train
    other = load_training_parts(digits(label_noise={**noise, "seed": 1})).train
    assert torch.equal(first.labels, same.labels)
    assert torch.equal(first.images, other.images)
    assert not torch.equal(first.labels, other.labels)


@pytest.mark.parametrize("rate", [-0.1, 1.1, 20])
def test_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        digits(label_noise={"kind": "symmetric", "rate": rate})


def test_settings_are_hashable() -> None:
    """The parts are loaded once for equal settings."""
    noise = {"kind": "symmetric", "rate": 0.4}
    assert hash(digits(label_noise=noise)) == hash(digits(label_noise=noise))


def test_one_class_is_refused() -> None:
    images = ImageSet(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.zeros(3).long(), 1)
    with pytest.raises(DataError, match="at least 2 classes, the data set has 1"):
        with_label_noise(images, LabelNoiseSettings(kind="symmetric", rate=0.1), 0)

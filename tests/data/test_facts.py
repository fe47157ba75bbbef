"""What is recorded of training images, against plain NumPy."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tunebox.data.facts import DataFacts
from tunebox.data.image_set import ImageSet
from tunebox.data.parts import TrainingParts


def image_set(images: np.ndarray, bits: int = 8) -> ImageSet:
    labels = torch.arange(len(images)) % 3
    return ImageSet(torch.from_numpy(images), labels, num_classes=3, bits=bits)


def made(seed: int, count: int = 1500, top: int = 200) -> np.ndarray:
    generator = np.random.default_rng(seed)
    level = generator.uniform(0.2, 0.9, size=(count, 1, 1, 1))
    images: np.ndarray = generator.uniform(20, top, size=(count, 1, 4, 5)) * level
    return images.astype(np.uint8)


def facts_of(images: np.ndarray, bits: int = 8) -> DataFacts:
    return DataFacts.of(TrainingParts(image_set(images, bits), image_set(images[:7], bits)))


def test_spans_and_numbers_are_those_of_numpy() -> None:
    images = made(0)
    facts = facts_of(images)
    scaled = images.reshape(len(images), -1) / 255
    assert facts.num_images == {"train": 1500, "validation": 7}
    assert facts.values == pytest.approx((scaled.min(), scaled.max()))
    means, deviations = scaled.mean(axis=1), scaled.std(axis=1)
    assert facts.brightness == pytest.approx((means.min(), means.max()), rel=1e-5)
    assert facts.contrast == pytest.approx((deviations.min(), deviations.max()), rel=1e-5)


@pytest.mark.parametrize("bits", [8, 12])
def test_the_digest_is_of_shape_images_and_labels(bits: int) -> None:
    images = made(1).astype(np.uint8 if bits == 8 else np.uint16)
    labels = np.arange(len(images), dtype=np.int64) % 3
    content = repr([*images.shape, bits, 3]).encode() + images.tobytes() + labels.tobytes()
    assert facts_of(images, bits).sha256 == hashlib.sha256(content).hexdigest()
    images[3, 0, 1, 1] ^= 1
    assert facts_of(images, bits).sha256 != hashlib.sha256(content).hexdigest()


def test_facts_survive_as_plain_data() -> None:
    facts = facts_of(made(2))
    assert DataFacts.read(facts.as_dict()) == facts
    with pytest.raises(ValidationError):
        DataFacts.read({**facts.as_dict(), "values": "all"})


def test_images_of_the_same_kind_are_like_them_and_others_are_not() -> None:
    facts = facts_of(made(3))
    others = torch.from_numpy(made(4, 400)).float() / 255
    assert sum(bool(facts.unlike(image)) for image in others) <= 2
    image = others[0]
    dark = facts.unlike(image * 0.01)
    assert [phrase.split()[0] for phrase in dark] == ["brightness", "contrast"]
    assert all(", in training from 0." in phrase for phrase in dark)
    bright = facts.unlike(torch.full_like(image, 0.95))
    assert [phrase.split()[0] for phrase in bright] == ["values", "brightness", "contrast"]


def test_a_sensor_that_fills_a_part_of_the_range() -> None:
    """Training on 12 bits in 16: an image that was spread over 16 bits is unlike them."""
    images = made(5).astype(np.uint16) * 16
    facts = facts_of(images, bits=16)
    own = torch.from_numpy(images[8].astype(np.float32)) / 65535
    assert facts.unlike(own) == []
    assert facts.unlike(own * 16)[0].startswith("values up to")

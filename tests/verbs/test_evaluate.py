"""The test images that an exported model is measured on, when the data have changed meanwhile."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.image_files import png
from tunebox.data.parts import open_training_parts
from tunebox.data.sets.image_folder import ImageFolderSettings
from tunebox.errors import DataError, RecordsError
from tunebox.models.trained import ModelFormat
from tunebox.records.evaluation_table import StoredRow, write_evaluation_table
from tunebox.verbs.evaluate import evaluate, load_members, load_test_images

LEVELS = {"cat": 10, "cow": 20, "dog": 30}  # of the grey pictures of a class
FORMAT = ModelFormat(1, 4, 4, 3, class_names=tuple(LEVELS))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        for name, level in LEVELS.items():
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(2):
                content = png(np.full((4, 4), level, np.uint8))
                (tmp_path / part / name / f"{number}.png").write_bytes(content)
    return tmp_path


def settings(root: Path, **changes: Any) -> ImageFolderSettings:
    return ImageFolderSettings(kind="image_folder", root=str(root), image_size=4, **changes)


def rename(root: Path, old: str, new: str) -> None:
    for part in ("train", "test"):
        (root / part / old).rename(root / part / new)


def test_a_renamed_class_is_refused_and_not_measured_as_another(root: Path) -> None:
    rename(root, "cat", "tabby")  # behind dog, in the alphabet
    with pytest.raises(DataError, match=r"does not know: tabby; it knows cat, cow, dog; of cat"):
        load_test_images(settings(root), FORMAT)


def test_labels_are_those_of_the_model_in_whatever_order(root: Path) -> None:
    model = ModelFormat(1, 4, 4, 3, class_names=("dog", "cat", "cow"))
    images, notes = load_test_images(settings(root), model)
    assert model.class_names is not None
    expected = [LEVELS[model.class_names[label]] for label in images.labels]
    whole = images.images_at(torch.arange(len(images)))
    assert whole[:, 0, 0, 0].tolist() == expected
    assert notes == []


def test_members_are_the_training_images_alone(root: Path) -> None:
    model = ModelFormat(1, 4, 4, 3, class_names=("dog", "cat", "cow"))
    data = settings(root, validation_fraction=0.5, label_noise={"kind": "symmetric", "rate": 0.5})
    members = load_members(data, model)
    train = open_training_parts(data).train
    assert len(members) == len(train) == 3
    assert members.class_names == ("dog", "cat", "cow")
    assert train.class_names == ("cat", "cow", "dog")
    expected = [members.class_names.index(train.class_names[label]) for label in train.labels]
    assert members.labels.tolist() == expected  # those that were trained on, wrong ones too


def test_a_class_that_is_gone_is_noted(root: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(root / part / "cow")
    images, [note] = load_test_images(settings(root), FORMAT)
    assert images.labels.tolist() == [0, 0, 2, 2]
    assert "no image of cow" in note


def test_grey_images_are_given_to_a_model_of_three_channels(root: Path) -> None:
    """Models of version 0.1.0 take three channels whatever the images have."""
    old = ModelFormat(3, 4, 4, 3, class_names=tuple(LEVELS), records_names=False)
    images, _ = load_test_images(settings(root), old)
    assert images.image_shape == (3, 4, 4)


def test_images_of_another_size_are_refused(root: Path) -> None:
    other = settings(root).model_copy(update={"image_size": 6})
    with pytest.raises(DataError, match=r"the test images are 1x6x6 .*, the model takes 1x4x4"):
        load_test_images(other, FORMAT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include": ["fogs"]}, "include: got 'fogs'; choose from corruptions, attacks"),
        ({"include": ["all"], "images": 0}, "images: got 0, must be 1 or more"),
        ({"samples": 0}, "samples: got 0, must be 1 or more"),
        ({"reference": "other"}, "include corruptions"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate("absent", **options)


def test_a_reference_without_corruptions_is_refused(tmp_path: Path) -> None:
    write_evaluation_table(tmp_path, [StoredRow("clean", "none", 0.0, 0.9, 0.3)])
    with pytest.raises(DataError, match=r"without corruptions; run tunebox evaluate .*--include"):
        evaluate("absent", include=["corruptions"], reference=tmp_path)
    with pytest.raises(RecordsError, match=r"evaluation.parquet is missing; run tunebox evaluate"):
        evaluate("absent", include=["corruptions"], reference=tmp_path / "other")

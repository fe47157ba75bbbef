"""Classes are matched by their names, whatever the order of the folders."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tunebox.data.image_set import ImageSet
from tunebox.data.match_classes import match_classes
from tunebox.errors import DataError


def images_of(names: tuple[str, ...] | None, labels: list[int], num_classes: int = 0) -> ImageSet:
    pictures = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None]
    num_classes = num_classes or len(names or ())
    return ImageSet(pictures, torch.tensor(labels), num_classes, class_names=names)


MODEL = ("cat", "cow", "dog")


def test_another_order_is_put_right() -> None:
    test, notes = match_classes(images_of(("dog", "cat", "cow"), [0, 1, 2, 0]), 3, MODEL)
    assert [MODEL[label] for label in test.labels] == ["dog", "cat", "cow", "dog"]
    assert test.class_names == MODEL
    assert notes == []


def test_the_same_names_change_nothing() -> None:
    given = images_of(MODEL, [2, 1, 0])
    test, notes = match_classes(given, 3, MODEL)
    assert torch.equal(test.labels, given.labels)
    assert notes == []


def test_a_renamed_class_is_one_line() -> None:
    with pytest.raises(DataError) as caught:
        match_classes(images_of(("cow", "dog", "katze"), [0, 1, 2]), 3, MODEL)
    line = str(caught.value)
    assert "\n" not in line
    assert "classes that the model does not know: katze; it knows cat, cow, dog" in line
    assert "of cat there is no image" in line


def test_a_new_class_without_images_is_no_trouble() -> None:
    test, notes = match_classes(images_of((*MODEL, "new"), [0, 1, 2]), 3, MODEL)
    assert test.num_classes == 3
    assert notes == []


@pytest.mark.parametrize("names", [("cow", "dog"), MODEL])
def test_a_class_without_images_is_noted(names: tuple[str, ...]) -> None:
    present = [names.index("cow"), names.index("dog")]
    test, [note] = match_classes(images_of(names, present), 3, MODEL)
    assert test.labels.tolist() == [1, 2]
    assert "no image of cat: " in note


@pytest.mark.parametrize(("of_data", "of_model"), [(None, MODEL), (MODEL, None), (None, None)])
def test_without_names_numbers_are_matched_with_a_note(
    of_data: tuple[str, ...] | None, of_model: tuple[str, ...] | None
) -> None:
    given = images_of(of_data, [2, 0], num_classes=3)
    test, [note] = match_classes(given, 3, of_model)
    assert test.labels.tolist() == [2, 0]
    assert "matched by number" in note
    with pytest.raises(DataError, match="the test set has 3 classes, the model 2"):
        match_classes(replace(given), 2, None if of_model is None else MODEL[:2])

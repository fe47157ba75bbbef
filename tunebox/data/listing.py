"""Which images there are, before any is read. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tunebox.data.image_file import (
    ImageFile,
    ImageFileError,
    ReadOptions,
    decode_image,
    image_of_array,
    read_content,
)
from tunebox.errors import DataError

_PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
PARTS = "train, validation and test"


class Item(Protocol):
    """An image that can be read; its text names it in messages."""

    def read(self, options: ReadOptions) -> ImageFile:
        """Return the image; raises what `read_content` and `decode_image` raise."""


@dataclass(frozen=True)
class FileItem:
    """A file of its own, and where it is named, if anywhere."""

    path: Path
    named_in: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.named_in})" if self.named_in else str(self.path)

    def read(self, options: ReadOptions) -> ImageFile:
        """Return the image in the file."""
        return decode_image(self.content(), options)

    def content(self) -> bytes:
        """Return the bytes of the file; raises what `read_content` raises."""
        return read_content(self.path)


@dataclass(frozen=True)
class ContentItem:
    """The content of an image file that lies in another file; None where it should be."""

    name: str
    content: bytes | None

    def __str__(self) -> str:
        return self.name

    def read(self, options: ReadOptions) -> ImageFile:
        """Return the image in the content."""
        if self.content is None:
            raise ImageFileError("holds no bytes of an image")
        return decode_image(self.content, options)


@dataclass(frozen=True)
class ArrayItem:
    """An image that is an array already, ``(H, W)`` or ``(H, W, C)``."""

    name: str
    values: np.ndarray

    def __str__(self) -> str:
        return self.name

    def read(self, options: ReadOptions) -> ImageFile:
        """Return the image in the array."""
        return image_of_array(self.values, "NPZ", options)


@dataclass(frozen=True)
class Listing:
    """The images of a part, not read yet.

    Attributes:
        classes: Names of the classes, which number them.
        labels: Number of the class of each image.
        items: Returns the images, in the order of the labels; may be called again.
        place: What the part is called in messages about its classes, such as a folder.
        sources: The files that the images come from.
        is_validation: For each image, whether the authors of the data chose it for the validation
            part; None if they did not choose.
        others: How many files have another suffix and are left out, by suffix.
    """

    classes: tuple[str, ...]
    labels: tuple[int, ...]
    items: Callable[[], Iterable[Item]]
    place: str
    sources: tuple[Path, ...]
    is_validation: tuple[bool, ...] | None = None
    others: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> list[int]:
        """Number of images of each class."""
        found = Counter(self.labels)
        return [found[label] for label in range(len(self.classes))]


def part_named(name: Any) -> str | None:
    """Return ``train``, ``validation`` or ``test`` for a name that means it, else None."""
    return _PART_NAMES.get(str(name).strip().lower())


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the classes in order: as numbers where all of them are."""
    names = set(labels)
    if all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def numbered(
    labels: Iterable[str], classes: tuple[str, ...], place: str, advice: str
) -> tuple[int, ...]:
    """Return the number of the class of each label.

    Raises:
        DataError: A label is none of the classes.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    labels = list(labels)
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise DataError(f"{place} has classes that train has not: {', '.join(unknown)}; {advice}")
    return tuple(numbers[label] for label in labels)


def check_classes(train: Listing, where: str) -> None:
    """Refuse data in which there is nothing to tell apart.

    Raises:
        DataError: There are no images, or they have fewer than two classes.
    """
    num_classes = len(set(train.labels))
    if num_classes < 2:
        raise DataError(
            f"{train.place}: the {len(train):,} images for training are of {num_classes} "
            f"class(es), expected at least 2; see data/{where}"
        )

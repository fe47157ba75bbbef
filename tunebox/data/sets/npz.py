"""Images as arrays in one ``.npz`` file, as MedMNIST has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tunebox.data.picture_settings import PictureSettings
from tunebox.data.settings import SplitPart
from tunebox.errors import DataError, reading
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    from tunebox.data.listing import ArrayItem, Listing

_Names = Annotated[tuple[str, ...], Field(strict=False, min_length=2)]


class NpzSettings(PictureSettings):
    """``train_images`` ``(N, H, W)`` or ``(N, H, W, C)`` and ``train_labels`` in an ``.npz`` file.

    ``val_*`` and ``test_*`` are the validation and the test set; without them, a seeded part of
    ``train_*`` is. Labels are integers from 0, ``(N,)`` or ``(N, 1)``.
    """

    kind: Literal["npz"]
    file: str
    image_size: int | None = Field(
        None, ge=4, le=MOST_PIXELS
    )  # shorter side is scaled to this, then the centre is cropped; null: as in the file
    class_names: _Names | None = None  # null: the numbers

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file).expanduser()

    @property
    def image_side(self) -> int | None:
        """Pixels of the shorter side of an image, None if they are as in the file."""
        return self.image_size

    @property
    def has_test_part(self) -> bool:
        """Whether there are ``test_images``."""
        return "test_images" in self._names()

    def check(self) -> None:
        """Return if the file has images and labels of two classes."""
        from tunebox.data.listing import check_classes

        check_classes(self.listing("train"), "train_labels")
        if self.has_test_part:
            self.listing("test")

    def listing(self, part: SplitPart) -> Listing:
        """Return the images of a part."""
        from tunebox.data.listing import Listing

        names = self._names()
        keys = ["train", *(["val"] if "val_images" in names else [])]
        known = {key: self._labels(key) for key in keys}
        most = max([-1, *(label for labels in known.values() for label in labels)])
        if most >= sum(map(len, known.values())):
            raise DataError(
                f"{self.path}: the labels hold {most}, which is more than there are images; "
                "classes are numbered from 0"
            )
        classes = self.class_names or tuple(map(str, range(most + 1)))
        labels = known if part == "train" else {"test": self._labels("test")}
        for key, numbers in labels.items():
            if numbers and max(numbers) >= len(classes):
                raise DataError(
                    f"{self.path}: {key}_labels hold {max(numbers)}, and there are {len(classes)} "
                    "classes, numbered from 0; name all of them in data/class_names"
                )
        return Listing(
            classes,
            tuple(label for numbers in labels.values() for label in numbers),
            items=lambda: (item for key in labels for item in self._items(key)),
            place=str(self.path),
            sources=(self.path,),
            is_validation=tuple(key == "val" for key, each in labels.items() for _ in each)
            if "val" in labels
            else None,
        )

    def _names(self) -> set[str]:
        from tunebox.data.npz_file import member_names

        with self._reading():
            names = member_names(self.path)
            if not {"train_images", "train_labels"} <= names:
                there = ", ".join(sorted(names)[:8]) or "nothing"
                raise DataError(
                    f"{self.path}: needs train_images and train_labels, and holds {there}"
                )
            return names

    def _labels(self, key: str) -> list[int]:
        import numpy as np

        from tunebox.data.npz_file import read_member, shape_of

        with self._reading():
            labels = read_member(self.path, f"{key}_labels")
            num_images = shape_of(self.path, f"{key}_images")[0]
            if labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            if labels.shape != (num_images,):
                raise ValueError(
                    f"{key}_labels are {'x'.join(map(str, labels.shape))} for {num_images} images; "
                    "one label an image is read"
                )
            as_integers = labels.astype(np.int64)
            if labels.dtype.kind not in "biuf" or (as_integers != labels).any():
                raise ValueError(f"{key}_labels are {labels.dtype}, expected integers")
            if (as_integers < 0).any():
                raise ValueError(f"{key}_labels hold {as_integers.min()}; classes count from 0")
            numbers: list[int] = as_integers.tolist()
            return numbers

    def _items(self, key: str) -> Iterator[ArrayItem]:
        from tunebox.data.listing import ArrayItem
        from tunebox.data.npz_file import rows

        with self._reading():
            for row, values in enumerate(rows(self.path, f"{key}_images")):
                yield ArrayItem(f"{self.path}, {key}_images[{row}]", values)

    def _reading(self) -> AbstractContextManager[None]:
        return reading(
            self.path, DataError, problem="cannot be read", advice="write it again, or fetch it"
        )

"""Images as bytes in parquet files, as Hugging Face's ``datasets`` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tunebox.data.picture_settings import PictureSettings
from tunebox.data.settings import SplitPart
from tunebox.errors import DataError, reading
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    from tunebox.data.listing import ContentItem, Listing

_ROWS = 64  # that are in memory at a time
_SEPARATORS = "-_."


class ParquetSettings(PictureSettings):
    """``root/**/train-*.parquet``, and where they exist ``validation-*`` and ``test-*``.

    A row has an image, as the bytes of its file or as ``{bytes, path}``, and a label. Without
    files of the test or the validation set, a seeded part of the images of ``train`` is that part.
    """

    kind: Literal["parquet"]
    root: str  # a folder, or a file whose images are all for training
    image_size: int = Field(
        ge=4, le=MOST_PIXELS
    )  # shorter side is scaled to this, then the centre is cropped
    image_column: str = "image"
    label_column: str = "label"

    @property
    def path(self) -> Path:
        """The folder, or the file."""
        return Path(self.root).expanduser()

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return self.image_size

    @property
    def has_test_part(self) -> bool:
        """Whether there are files of the test set."""
        return bool(self._files()["test"])

    def check(self) -> None:
        """Return if the files can be read and have images of two classes."""
        from tunebox.data.listing import check_classes

        check_classes(self.listing("train"), f"label_column: {self.label_column}")
        if self.has_test_part:
            self.listing("test")

    def listing(self, part: SplitPart) -> Listing:
        """Return the rows of a part."""
        from tunebox.data.listing import Listing, numbered, sorted_classes

        files = self._files()
        for_training = [*files["train"], *files["validation"]]
        known = {file: self._labels(file) for file in for_training}
        classes = _names(self, for_training) or sorted_classes(
            label for labels in known.values() for label in labels
        )
        of_part = for_training if part == "train" else files["test"]
        labels = [known[file] if file in known else self._labels(file) for file in of_part]
        numbers = tuple(
            number
            for file, names in zip(of_part, labels, strict=True)
            for number in numbered(names, classes, str(file), "add them to train")
        )
        is_validation = [
            file in files["validation"]
            for file, names in zip(of_part, labels, strict=True)
            for _ in names
        ]
        return Listing(
            classes,
            numbers,
            items=lambda: (item for file in of_part for item in self._items(file)),
            place=str(self.path),
            sources=tuple(of_part),
            is_validation=tuple(is_validation) if any(is_validation) else None,
        )

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of each part."""
        from tunebox.data.listing import part_named

        files: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
        if self.path.is_file():
            files["train"].append(self.path)
            return files
        for file in sorted(self.path.rglob("*.parquet")):
            inside = file.relative_to(self.path)
            if any(name.startswith(".") for name in inside.parts):
                continue
            words = [_first_word(name) for name in reversed(inside.parts)]
            part = next((named for word in words if (named := part_named(word))), None)
            if part is not None:
                files[part].append(file)
        if not files["train"]:
            raise DataError(
                f"{self.path}: holds no train-*.parquet; data/root is a folder with "
                "train-*.parquet and, if there are such, validation-*.parquet and test-*.parquet, "
                "or a single file"
            )
        return files

    def _labels(self, file: Path) -> list[str]:
        from tunebox.data.tables import class_labels, open_parquet, read_columns, texts

        labels = texts(
            read_columns(file, [self.label_column])[self.label_column], file, self.label_column
        )
        with _reading(file), open_parquet(file) as opened:
            names = class_labels(opened.schema_arrow, self.label_column)
            if self.image_column not in opened.schema_arrow.names:
                there = ", ".join(opened.schema_arrow.names)
                raise DataError(
                    f"{file}: has no column {self.image_column!r}, but {there}; name it in data"
                )
            if names is None:
                return labels
            if not all(label.isdigit() and int(label) < len(names) for label in labels):
                raise ValueError(f"labels are not 0 to {len(names) - 1}, as its {len(names)} names")
            return [names[int(label)] for label in labels]

    def _items(self, file: Path) -> Iterator[ContentItem]:
        from tunebox.data.listing import ContentItem
        from tunebox.data.tables import open_parquet

        row = 0
        with _reading(file), open_parquet(file) as opened:
            for batch in opened.iter_batches(_ROWS, columns=[self.image_column]):
                for value in batch.column(0).to_pylist():
                    yield ContentItem(f"{file}, row {row}", _content(value))
                    row += 1


def _names(settings: ParquetSettings, files: list[Path]) -> tuple[str, ...] | None:
    """Return the names of the classes as the first file has them, in their order."""
    from tunebox.data.tables import class_labels, open_parquet

    with _reading(files[0]), open_parquet(files[0]) as opened:
        names = class_labels(opened.schema_arrow, settings.label_column)
        if names is not None and len(set(names)) < len(names):
            raise ValueError("two classes have the same name")
        return None if names is None else tuple(names)


def _reading(file: Path) -> AbstractContextManager[None]:
    return reading(
        file, DataError, problem="cannot be read as parquet", advice="write it again, or fetch it"
    )


def _first_word(name: str) -> str:
    for separator in _SEPARATORS:
        name = name.partition(separator)[0]
    return name


def _content(value: Any) -> bytes | None:
    """Return the bytes of an image, which may be in a struct ``{bytes, path}``."""
    if isinstance(value, dict):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None

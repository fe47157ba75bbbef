"""Images of one's own: a table with their paths and labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.data.picture_settings import PictureSettings
from tunebox.data.settings import SplitPart
from tunebox.errors import DataError
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    from tunebox.data.listing import Listing


class TableSettings(PictureSettings):
    """A row for each image: its path, its label and, where there is such a column, its part.

    Without a column of parts, or without rows of the part ``test``, a seeded part of the rows is
    the test set; the same holds for the validation set.
    """

    kind: Literal["table"]
    file: str  # CSV, TSV or parquet
    root: str | None = None  # folder that the paths start from; null: that of the table
    image_size: int = Field(
        ge=4, le=MOST_PIXELS
    )  # shorter side is scaled to this, then the centre is cropped
    path_column: str = "path"
    label_column: str = "label"
    part_column: str = "part"  # train, validation or test; left out: see above

    @property
    def path(self) -> Path:
        """The table."""
        return Path(self.file).expanduser()

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return self.image_size

    @property
    def has_test_part(self) -> bool:
        """Whether rows have the part ``test``."""
        return "test" in self._rows()[2]

    def check(self) -> None:
        """Return if the table can be read and has images of two classes."""
        from tunebox.data.listing import check_classes

        check_classes(self.listing("train"), f"label_column: {self.label_column}")
        if self.has_test_part:
            self.listing("test")

    def listing(self, part: SplitPart) -> Listing:
        """Return the rows of a part."""
        from tunebox.data.listing import FileItem, Listing, numbered, sorted_classes

        paths, labels, parts = self._rows()
        classes = sorted_classes(
            label for label, name in zip(labels, parts, strict=True) if name != "test"
        )
        rows = [row for row, name in enumerate(parts) if (name == "test") == (part == "test")]
        root = self.path.parent if self.root is None else Path(self.root).expanduser()
        files = tuple(root / paths[row] for row in rows)
        return Listing(
            classes,
            numbered(
                [labels[row] for row in rows], classes, f"{self.path}: {part}", "add them to train"
            ),
            items=lambda: (
                FileItem(file, f"row {row} of {self.path}")
                for file, row in zip(files, rows, strict=True)
            ),
            place=str(self.path),
            sources=files,
            is_validation=tuple(parts[row] == "validation" for row in rows)
            if part == "train" and "validation" in parts
            else None,
        )

    def _rows(self) -> tuple[list[str], list[str], list[str]]:
        """Return the paths, the labels and the parts of all rows."""
        from tunebox.data.listing import PARTS, part_named
        from tunebox.data.tables import read_columns, texts

        needed = [self.path_column, self.label_column]
        columns = read_columns(self.path, needed, [self.part_column])
        paths, labels = (texts(columns[name], self.path, name) for name in needed)
        written = columns.get(self.part_column, ["train"] * len(paths))
        parts = [part_named(name) or "" for name in written]
        if "" in parts:
            row = parts.index("")
            raise DataError(
                f"{self.path}: row {row} of the column {self.part_column!r} holds "
                f"{str(written[row])[:40]!r}, expected {PARTS}"
            )
        return paths, labels, parts

"""Images of one's own: a folder for each class."""

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


class ImageFolderSettings(PictureSettings):
    """``root/train/<class>/*.png`` and, where it exists, ``root/test/<class>/*.png``.

    Without a ``test`` folder a seeded part of ``train`` is the test set.
    """

    kind: Literal["image_folder"]
    root: str
    image_size: int = Field(
        ge=4, le=MOST_PIXELS
    )  # shorter side is scaled to this, then the centre is cropped

    @property
    def folder(self) -> Path:
        """The folder that holds ``train``."""
        return Path(self.root).expanduser()

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return self.image_size

    @property
    def has_test_part(self) -> bool:
        """Whether there is a folder ``test``."""
        return (self.folder / "test").is_dir()

    def check(self) -> None:
        """Return if there are images for each class."""
        from tunebox.data.class_folders import class_names, list_class_folders

        classes = class_names(self.folder / "train")
        if len(classes) < 2:
            raise DataError(
                f"{self.folder / 'train'}: found {len(classes)} class folder(s), expected at "
                "least 2; put the images of each class in a folder of their own"
            )
        counts = list_class_folders(self.folder / "train", classes).counts
        for name, count in zip(classes, counts, strict=True):
            if count == 0:
                folder = self.folder / "train" / name
                raise DataError(f"{folder}: holds no images; add some or remove the folder")
        if self.has_test_part:
            _check_test_classes(self.folder, classes)

    def listing(self, part: SplitPart) -> Listing:
        """Return the images below ``root/train`` or ``root/test``."""
        from tunebox.data.class_folders import class_names, list_class_folders

        classes = class_names(self.folder / "train")
        return list_class_folders(self.folder / part, classes)


def _check_test_classes(root: Path, classes: tuple[str, ...]) -> None:
    """Refuse classes that no model would know; one without an image is not measured."""
    from tunebox.data.class_folders import class_names, list_class_folders

    unknown = sorted(set(class_names(root / "test")) - set(classes))
    if unknown:
        raise DataError(
            f"{root}: test has class folders that train has not: {', '.join(unknown)}; "
            "add them to train, or remove them"
        )
    if not len(list_class_folders(root / "test", classes)):
        raise DataError(f"{root / 'test'}: holds no images; add some or remove the folder")

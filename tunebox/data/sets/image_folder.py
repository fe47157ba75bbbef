"""Images of one's own: a folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.data.settings import Bits, DataSettings, SplitPart
from tunebox.errors import DataError
from tunebox.settings import MOST_PIXELS

if TYPE_CHECKING:
    from tunebox.data.image_set import ImageSet
    from tunebox.data.inspection import Inspection
    from tunebox.data.read_files import Progress

_Level = Annotated[float, Field(ge=0, le=1)]
_Colour = Annotated[tuple[_Level, _Level, _Level], Field(strict=False)]
_Range = Annotated[tuple[float, float], Field(strict=False)]


class ImageFolderSettings(DataSettings):
    """``root/train/<class>/*.png`` and, where it exists, ``root/test/<class>/*.png``.

    Without a ``test`` folder a seeded part of ``train`` is the test part.
    """

    kind: Literal["image_folder"]
    root: str
    image_size: int = Field(
        ge=4, le=MOST_PIXELS
    )  # shorter side is scaled to this, then the centre is cropped
    channels: Literal["auto", 1, 3] = "auto"  # auto: 1 if all images of a part are grey, else 3
    bits: Bits = "auto"  # white is 2**bits - 1; auto: as in the files
    range: _Range | None = None  # black and white of images of floats, signed or 32-bit integers
    background: _Level | _Colour | None = None  # what is seen through transparent pixels
    bad_files: Literal["error", "skip"] = "error"  # what to do with files that cannot be read
    test_fraction: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range: {list(self.range)} must rise: [black, white]")
        return self

    @property
    def folder(self) -> Path:
        """The folder that holds ``train``."""
        return Path(self.root).expanduser()

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return self.image_size

    @property
    def seeded_test_fraction(self) -> float | None:
        """Share of all images that is the test part, None with a ``test`` folder."""
        return None if (self.folder / "test").is_dir() else self.test_fraction

    def for_channels(self, channels: int) -> Self:
        """Return the same settings for images of ``channels`` channels."""
        if self.channels != "auto":
            return self
        return self.model_copy(update={"channels": channels})

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
        if self.seeded_test_fraction is None:
            _check_test_classes(self.folder, classes)

    def inspect(self, progress: Progress | None = None) -> Inspection:
        """Read every image once, and say what there is."""
        from tunebox.data.inspection import inspect_image_folder

        self.check()
        return inspect_image_folder(self, progress)

    def build(self, part: SplitPart) -> ImageSet:
        """Return the images of a part; without a ``test`` folder ``train`` has all."""
        return load_image_folder(self, part if self.seeded_test_fraction is None else "train")


def load_image_folder(settings: ImageFolderSettings, part: SplitPart) -> ImageSet:
    """Return the images of ``root/train`` or ``root/test``, ``(N, C, size, size)``.

    The shorter side is scaled to ``image_size``, then the centre is cut out. Classes are
    numbered in the alphabetical order of their folders in ``train``.

    Raises:
        DataError: A folder is absent or empty, or a file cannot be read.
    """
    import torch

    from tunebox.data.image_set import ImageSet
    from tunebox.data.inspection import read_part

    settings.check()
    found = read_part(settings, part)
    return ImageSet(
        torch.from_numpy(found.images),
        torch.tensor(found.labels, dtype=torch.int64),
        num_classes=len(found.classes),
        bits=found.bits,
        class_names=found.classes,
        found=found.found,
    )


def _check_test_classes(root: Path, classes: tuple[str, ...]) -> None:
    """Refuse classes that no model would know; one without an image is not measured."""
    from tunebox.data.class_folders import class_names, list_class_folders

    unknown = sorted(set(class_names(root / "test")) - set(classes))
    if unknown:
        raise DataError(
            f"{root}: test has class folders that train has not: {', '.join(unknown)}; "
            "add them to train, or remove them"
        )
    if not list_class_folders(root / "test", classes).files:
        raise DataError(f"{root / 'test'}: holds no images; add some or remove the folder")

"""Settings that all kinds of data with images of one's own share."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.data.settings import Bits, DataSettings, SplitPart

if TYPE_CHECKING:
    from tunebox.data.image_set import ImageSet
    from tunebox.data.inspection import Inspection
    from tunebox.data.listing import Listing
    from tunebox.data.read_files import Progress
    from tunebox.data.stored_set import AnyImageSet

_Level = Annotated[float, Field(ge=0, le=1)]
_Colour = Annotated[tuple[_Level, _Level, _Level], Field(strict=False)]
_Range = Annotated[tuple[float, float], Field(strict=False)]


class PictureSettings(DataSettings):
    """Images as they are in files: a kind says where they and their labels are."""

    channels: Literal["auto", 1, 3] = "auto"  # auto: 1 if all images of a part are grey, else 3
    bits: Bits = "auto"  # white is 2**bits - 1; auto: as in the files
    range: _Range | None = None  # black and white of images of floats, signed or 32-bit integers
    background: _Level | _Colour | None = None  # what is seen through transparent pixels
    bad_files: Literal["error", "skip"] = "error"  # what to do with files that cannot be read
    test_fraction: float = Field(0.2, gt=0, lt=1)  # used if the files have no test set
    cache: str | None = None  # folder of decoded images; null: ~/.cache/tunebox/decoded

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range: {list(self.range)} must rise: [black, white]")
        return self

    @property
    @abstractmethod
    def has_test_part(self) -> bool:
        """Whether the files have a test set of their own.

        Raises:
            DataError: Files are missing or damaged.
        """

    @abstractmethod
    def listing(self, part: SplitPart) -> Listing:
        """Return the images of a part; of ``train`` also those for validation.

        Raises:
            DataError: Files are missing or damaged.
        """

    @property
    def seeded_test_fraction(self) -> float | None:
        """Share of all images that is the test set, None if the files have one."""
        return None if self.has_test_part else self.test_fraction

    def for_channels(self, channels: int) -> Self:
        """Return the same settings for images of ``channels`` channels."""
        if self.channels != "auto":
            return self
        return self.model_copy(update={"channels": channels})

    def inspect(self, progress: Progress | None = None) -> Inspection:
        """Read every image once, and say what there is."""
        from tunebox.data.inspection import inspect_pictures

        self.check()
        return inspect_pictures(self, progress)

    @property
    def cache_folder(self) -> Path:
        """The folder of decoded images."""
        return Path(self.cache or "~/.cache/tunebox/decoded").expanduser()

    def open(self, part: SplitPart, progress: Progress | None = None) -> AnyImageSet:
        """Return the images of a part; without a test set ``train`` has all."""
        from tunebox.data.pictures import open_pictures

        self.check()
        return open_pictures(self, part if self.has_test_part else "train", progress)

    def build(self, part: SplitPart) -> ImageSet:
        """Return the images of a part in memory."""
        from tunebox.data.stored_set import StoredSet

        opened = self.open(part)
        return opened.resident() if isinstance(opened, StoredSet) else opened

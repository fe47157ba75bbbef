"""``data`` and ``augmentation`` in a search file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from pydantic import Field
from typing_extensions import Self

from tunebox.parts.part import Part
from tunebox.settings import MOST_IMAGES, Seed, Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.data.image_set import ImageSet
    from tunebox.data.inspection import Inspection
    from tunebox.data.read_files import Progress
    from tunebox.data.stored_set import AnyImageSet

SplitPart: TypeAlias = Literal["train", "test"]
Bits: TypeAlias = Literal["auto", 8, 10, 12, 14, 16]


class LabelNoiseSettings(Settings):
    """Wrong labels in the training set, to find out what withstands them."""

    # symmetric: any other class, all alike; asymmetric: the next class, the last one's is the first
    kind: Literal["symmetric", "asymmetric"]
    rate: float = Field(ge=0, le=1)  # share of the images of each class
    seed: Seed | None = None  # null: split_seed


class DataSettings(Part):
    """Settings of a data set, and of its split into training and validation images."""

    group = "data"
    package = "tunebox.data.sets"
    supplied = ("train", "part")

    validation_fraction: float = Field(0.2, gt=0, lt=1)
    train_images: int | None = Field(
        None, ge=1, le=MOST_IMAGES
    )  # a stratified subset of the training set; null: all
    split_seed: Seed = 0
    label_noise: LabelNoiseSettings | None = None  # wrong labels in the training set; null: none

    @classmethod
    def of_own_code(cls) -> type[DataSettings]:
        """Return the base class for user-defined data sets."""
        return OwnDataSettings

    @property
    def image_side(self) -> int | None:
        """Pixels of the shorter side of an image, None if it is known only from the images."""
        return None

    @property
    def num_images(self) -> int | None:
        """Number of images outside the test set; None if it is known only from files."""
        return None

    @property
    def seeded_test_fraction(self) -> float | None:
        """Share of the images to use as test set; None if the data set has its own test set."""
        return None

    def check(self) -> None:
        """Check that the files exist or may be downloaded; reads no file contents.

        Raises:
            DataError: Files are missing; the message says where they were expected and what to do.
        """

    def prepare(self) -> None:
        """Make sure that the files exist; download them if the settings allow it.

        Raises:
            DataError: Files are missing, and a download is not allowed or fails.
        """
        self.check()

    def inspect(self, progress: Progress | None = None) -> Inspection:
        """Read the whole data set once, before a search, where files may be damaged.

        Args:
            progress: Called with the number of files that are read, and of all files.

        Raises:
            DataError: Files are missing or damaged.
        """
        from tunebox.data.inspection import Inspection

        return Inspection()

    def for_channels(self, channels: int) -> Self:
        """Return settings that give images of ``channels`` channels, if these leave it open."""
        return self

    def build(self, part: SplitPart) -> ImageSet:
        """Return a part of the data set, on the CPU.

        Args:
            part: With ``seeded_test_fraction``, ``train`` returns all images.

        Raises:
            DataError: Files are missing or damaged.
        """
        raise NotImplementedError

    def open(self, part: SplitPart, progress: Progress | None = None) -> AnyImageSet:
        """Return a part of the data set as `build` does, or in a file if it may be large.

        Args:
            part: As in `build`.
            progress: Called with the number of images that are decoded, and of all images.
        """
        return self.build(part)


class OwnDataSettings(DataSettings):
    """Settings of a user-defined data set, in addition to the arguments of its code."""

    test_fraction: float = Field(0.2, gt=0, lt=1)  # used if the code takes neither train nor part
    bits: Bits = "auto"  # white is 2**bits - 1 in uint16 images; auto: 16

    @property
    def seeded_test_fraction(self) -> float | None:
        """None if the code takes ``train`` or ``part``."""
        return None if self.needs else self.test_fraction

    def build(self, part: SplitPart) -> ImageSet:
        """Return the images of the torch data set that the code returns.

        The code may take ``train`` (a bool) or ``part`` (``"train"`` or ``"test"``).
        """
        from tunebox.data.own import image_set

        return image_set(self.call(train=part == "train", part=part), self.kind, self.bits)


class Augmentation(Protocol):
    """Changes a batch of training images before the noise."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the changed images; the input stays as it is.

        Args:
            images: ``(B, C, H, W)``, uint8 or uint16.
            generator: On the device of the images; all randomness comes from it.

        Returns:
            ``(B, C, H, W)``, of the dtype and scale of ``images``, or float in [0, 1].
        """


class AugmentationSettings(Part):
    """Settings of an augmentation."""

    group = "augmentation"
    package = "tunebox.data.augmentations"
    supplied = ("images", "generator")
    default_kind = "crop_flip"

    def build(self, bits: int = 8) -> Augmentation:
        """Return the augmentation as a function.

        User code gets float images in [0, 1].

        Args:
            bits: White is ``2**bits - 1`` in integer images.
        """
        from tunebox.data.image_set import to_unit_range

        made = self.call() if isinstance(self.code, type) else self.call

        def augment(images: Tensor, generator: torch.Generator) -> Tensor:
            changed: Tensor = made(images=to_unit_range(images, bits), generator=generator)
            return changed

        return augment


def check_data(settings: DataSettings) -> None:
    """Call `DataSettings.check`, as a function that Ray can send."""
    settings.check()


def prepare_data(settings: DataSettings) -> None:
    """Call `DataSettings.prepare`, as a function that Ray can send."""
    settings.prepare()


def inspect_data(settings: DataSettings) -> Inspection:
    """Call `DataSettings.inspect`, as a function that Ray can send."""
    return settings.inspect()

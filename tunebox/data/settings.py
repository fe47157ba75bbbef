"""``data`` and ``augmentation`` in a search file."""

from typing import Annotated, Literal

from pydantic import Field

from tunebox.settings import Settings


class SplitSettings(Settings):
    """How the images that are not test images are divided."""

    validation_fraction: float = Field(0.2, gt=0, lt=1)
    train_images: int | None = Field(None, ge=1)  # a stratified subset of the train part; null: all
    split_seed: int = Field(0, ge=0)


class DigitsSettings(SplitSettings):
    """The 1,797 real 8x8 images that ship with scikit-learn; a seeded fifth is the test part."""

    kind: Literal["digits"]
    test_fraction: float = Field(0.2, gt=0, lt=1)

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return 8


class TorchvisionSettings(SplitSettings):
    """A data set of torchvision with the test part that its authors chose."""

    kind: Literal["mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"]
    root: str | None = None  # null: ~/.cache/tunebox, and for fashion_mnist Debian's folder too
    download: bool = False

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return 28 if self.kind in ("mnist", "fashion_mnist") else 32


class ImageFolderSettings(SplitSettings):
    """``root/train/<class>/*.png`` and, where it exists, ``root/test/<class>/*.png``.

    Without a ``test`` folder a seeded part of ``train`` is the test part.
    """

    kind: Literal["image_folder"]
    root: str
    image_size: int = Field(ge=4)  # shorter side is scaled to this, then the centre is cropped
    channels: Literal[1, 3] = 3
    test_fraction: float = Field(0.2, gt=0, lt=1)

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return self.image_size


DataSettings = Annotated[
    DigitsSettings | TorchvisionSettings | ImageFolderSettings, Field(discriminator="kind")
]


class AugmentationSettings(Settings):
    """Random crops and flips of the training images, before the noise."""

    crop_padding: int = Field(0, ge=0)  # pixels of zeros at each side before a random crop
    flip: bool = False  # mirror left and right with probability 1/2

"""The handwritten digits that ship with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.data.settings import DataSettings, SplitPart

if TYPE_CHECKING:
    from tunebox.data.image_set import ImageSet


_NUM_IMAGES = 1797


class DigitsSettings(DataSettings):
    """The 1,797 real 8x8 images that ship with scikit-learn; a seeded fifth is the test set."""

    kind: Literal["digits"]
    test_fraction: float = Field(0.2, gt=0, lt=1)

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return 8

    @property
    def num_images(self) -> int:
        """Number of images outside the test set."""
        return _NUM_IMAGES - round(self.test_fraction * _NUM_IMAGES)

    @property
    def seeded_test_fraction(self) -> float:
        """Share of all images that is the test set."""
        return self.test_fraction

    def build(self, part: SplitPart) -> ImageSet:
        """Return all images, whatever the part."""
        return load_digits()


def load_digits() -> ImageSet:
    """Return the 1,797 images, ``(1797, 1, 8, 8)``, 10 classes.

    The 17 grey levels 0 to 16 are spread over 0 to 255.
    """
    import torch
    from sklearn import datasets

    from tunebox.data.image_set import ImageSet

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).to(torch.int64)
    names = tuple(str(digit) for digit in range(10))
    return ImageSet(images.unsqueeze(1), labels, num_classes=10, class_names=names)

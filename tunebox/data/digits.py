"""The handwritten digits that ship with scikit-learn."""

import torch

from tunebox.data.image_set import ImageSet


def load_digits() -> ImageSet:
    """Return the 1,797 images, ``(1797, 1, 8, 8)``, 10 classes.

    The 17 grey levels 0 to 16 are spread over 0 to 255.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).to(torch.int64)
    return ImageSet(images.unsqueeze(1), labels, num_classes=10)

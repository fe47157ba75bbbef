"""Images of one's own: a folder for each class."""

from pathlib import Path
from typing import Any, Literal

import torch

from tunebox.data.check import check_data
from tunebox.data.image_set import ImageSet
from tunebox.data.settings import ImageFolderSettings
from tunebox.errors import DataError


def has_test_folder(settings: ImageFolderSettings) -> bool:
    """Return whether the data set comes with a test part."""
    return (_root(settings) / "test").is_dir()


def load_image_folder(settings: ImageFolderSettings, part: Literal["train", "test"]) -> ImageSet:
    """Return the images of ``root/train`` or ``root/test``, ``(N, channels, size, size)``.

    The shorter side is scaled to ``image_size``, then the centre is cut out. Classes are
    numbered in the alphabetical order of their folders.

    Raises:
        DataError: A folder is absent or empty, or a file is not an image.
    """
    from torchvision import datasets
    from torchvision.transforms import functional

    check_data(settings)
    mode = "L" if settings.channels == 1 else "RGB"
    size = settings.image_size

    def to_tensor(image: Any) -> Any:
        resized = functional.resize(image.convert(mode), size)
        return functional.pil_to_tensor(functional.center_crop(resized, size))

    folder = datasets.ImageFolder(str(_root(settings) / part), transform=to_tensor)
    images = torch.empty(len(folder), settings.channels, size, size, dtype=torch.uint8)
    for index, (path, _) in enumerate(folder.samples):
        try:
            images[index] = folder[index][0]
        except OSError as error:  # PIL raises a kind of it for what it cannot read
            raise DataError(f"{path}: not a readable image ({error}); remove it") from None
    labels = torch.tensor(folder.targets, dtype=torch.int64)
    return ImageSet(images, labels, num_classes=len(folder.classes))


def _root(settings: ImageFolderSettings) -> Path:
    return Path(settings.root).expanduser()

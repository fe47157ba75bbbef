"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN, as torchvision keeps their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunebox.data.files import IDX_FILES, data_root, existing_file, found_folder, searched_folders
from tunebox.data.settings import DataSettings, SplitPart
from tunebox.errors import DataError, reading

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.data.image_set import ImageSet


_NUM_IMAGES = {  # of the training set
    **dict.fromkeys(("mnist", "fashion_mnist"), 60_000),
    **dict.fromkeys(("cifar10", "cifar100"), 50_000),
    "svhn": 73_257,
}
_DIGITS = tuple(map(str, range(10)))
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


class TorchvisionSettings(DataSettings):
    """A data set of torchvision with the test set that its authors chose."""

    kind: Literal["mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"]
    root: str | None = None  # null: ~/.cache/tunebox, and for fashion_mnist Debian's folder too
    download: bool = False

    @property
    def image_side(self) -> int:
        """Pixels of the shorter side of an image."""
        return 28 if self.kind in ("mnist", "fashion_mnist") else 32

    @property
    def num_images(self) -> int:
        """Number of images of the official training set."""
        return _NUM_IMAGES[self.kind]

    def check(self) -> None:
        """Return if the files are there or may be downloaded."""
        if not self.download:
            _check_files(self)

    def prepare(self) -> None:
        """Return when the files are there, after a download if ``download`` is true."""
        if self.download and found_folder(self) is None:
            from tunebox.data.download import download

            download(self)
            _check_files(self)
        self.check()

    def build(self, part: SplitPart) -> ImageSet:
        """Return a part of the data set."""
        return load_torchvision_set(self, part)


def load_torchvision_set(settings: TorchvisionSettings, part: SplitPart) -> ImageSet:
    """Return the official ``train`` or ``test`` part.

    Raises:
        DataError: A file is absent or damaged.
    """
    settings.check()
    if settings.kind in ("mnist", "fashion_mnist"):
        folder = found_folder(settings)
        assert folder is not None
        images, labels = _read_idx_set(folder, part)
        return _image_set(images, labels, _DIGITS if settings.kind == "mnist" else _FASHION)
    problem, advice = (
        f"has damaged {settings.kind} files",
        "remove them and set data/download: true",
    )
    with reading(data_root(settings), DataError, problem=problem, advice=advice):
        return _image_set(*_read_with_torchvision(settings, part))


def _image_set(images: Tensor, labels: Tensor, names: Sequence[str]) -> ImageSet:
    from tunebox.data.image_set import ImageSet

    return ImageSet(images, labels, num_classes=len(names), class_names=tuple(names))


def _read_idx_set(folder: Path, part: SplitPart) -> tuple[Tensor, Tensor]:
    import torch

    from tunebox.data.idx import read_idx

    images_name, labels_name = IDX_FILES[part]
    images_file = existing_file(folder, images_name)
    labels_file = existing_file(folder, labels_name)
    assert images_file is not None
    assert labels_file is not None
    images, labels = read_idx(images_file), read_idx(labels_file)
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{images_file}: {tuple(images.shape)} images do not fit {tuple(labels.shape)} labels; "
            "remove the files and fetch them again"
        )
    if len(labels) and int(labels.max()) >= len(_DIGITS):
        raise DataError(
            f"{labels_file}: a label is {labels.max()}, expected less than {len(_DIGITS)}; remove "
            "the file and fetch it again"
        )
    return images.unsqueeze(1), labels.to(torch.int64)


def _read_with_torchvision(
    settings: TorchvisionSettings, part: SplitPart
) -> tuple[Tensor, Tensor, Sequence[str]]:
    import numpy as np
    import torch
    from torchvision import datasets

    root = str(data_root(settings))
    if settings.kind == "svhn":
        svhn = datasets.SVHN(root, split=part)
        images = np.ascontiguousarray(svhn.data)
        return torch.from_numpy(images), torch.from_numpy(svhn.labels).to(torch.int64), _DIGITS
    cifar_class = datasets.CIFAR100 if settings.kind == "cifar100" else datasets.CIFAR10
    cifar = cifar_class(root, train=part == "train")
    images = np.ascontiguousarray(cifar.data.transpose(0, 3, 1, 2))
    return torch.from_numpy(images), torch.tensor(cifar.targets, dtype=torch.int64), cifar.classes


def _check_files(settings: TorchvisionSettings) -> None:
    if found_folder(settings) is not None:
        return
    folders = " or ".join(str(folder) for folder in searched_folders(settings))
    ways = f"set data/download: true, or put the files under data/root: {data_root(settings)}"
    if settings.kind == "fashion_mnist" and settings.root is None:
        ways += ", or apt-get install dataset-fashion-mnist"
    raise DataError(f"{settings.kind} is not in {folders}: {ways}")

"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN from files that are already there."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tunebox.data.check import check_data
from tunebox.data.files import IDX_FILES, data_root, existing_file, found_folder
from tunebox.data.idx import read_idx
from tunebox.data.image_set import ImageSet
from tunebox.data.settings import TorchvisionSettings
from tunebox.errors import DataError

Part = Literal["train", "test"]


def load_torchvision_set(settings: TorchvisionSettings, part: Part) -> ImageSet:
    """Return the official ``train`` or ``test`` part.

    Raises:
        DataError: A file is absent or damaged.
    """
    check_data(settings)
    if settings.kind in ("mnist", "fashion_mnist"):
        folder = found_folder(settings)
        assert folder is not None
        return _load_idx_set(folder, part)
    try:
        images, labels = _read_with_torchvision(settings, part)
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"{data_root(settings)}: the {settings.kind} files are damaged ({error}); "
            "remove them and set data/download: true"
        ) from None
    return ImageSet(images, labels, num_classes=100 if settings.kind == "cifar100" else 10)


def _load_idx_set(folder: Path, part: Part) -> ImageSet:
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
    return ImageSet(images.unsqueeze(1), labels.to(torch.int64), num_classes=10)


def _read_with_torchvision(settings: TorchvisionSettings, part: Part) -> tuple[Tensor, Tensor]:
    from torchvision import datasets

    root = str(data_root(settings))
    if settings.kind == "svhn":
        svhn = datasets.SVHN(root, split=part)
        images = np.ascontiguousarray(svhn.data)
        return torch.from_numpy(images), torch.from_numpy(svhn.labels).to(torch.int64)
    cifar_class = datasets.CIFAR100 if settings.kind == "cifar100" else datasets.CIFAR10
    cifar = cifar_class(root, train=part == "train")
    images = np.ascontiguousarray(cifar.data.transpose(0, 3, 1, 2))
    return torch.from_numpy(images), torch.tensor(cifar.targets, dtype=torch.int64)

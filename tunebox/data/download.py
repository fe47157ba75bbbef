"""Fetches torchvision's data sets, once for each node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filelock import FileLock

from tunebox.data.files import data_root, found_folder
from tunebox.errors import DataError

if TYPE_CHECKING:
    from tunebox.data.sets.torchvision import TorchvisionSettings


def download(settings: TorchvisionSettings) -> None:
    """Fetch the files of the data set, unless they are there.

    Many trials start at the same time on a node: a lock in the root lets one of them download
    while the others wait for it.

    Raises:
        DataError: The root cannot be written, or the files cannot be fetched.
    """
    root = data_root(settings)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".tunebox-download.lock"):
            if found_folder(settings) is None:
                _download_with_torchvision(settings, str(root))
    except (OSError, RuntimeError) as error:  # torchvision raises both for a failing network
        reason = " ".join(str(error).split())
        raise DataError(
            f"{settings.kind} could not be downloaded to {root} ({reason}); check the network, "
            "or put the files there yourself"
        ) from None


def _download_with_torchvision(settings: TorchvisionSettings, root: str) -> None:
    from torchvision import datasets

    if settings.kind == "svhn":
        for part in ("train", "test"):
            datasets.SVHN(root, split=part, download=True)
        return
    name = {
        "mnist": "MNIST",
        "fashion_mnist": "FashionMNIST",
        "cifar10": "CIFAR10",
        "cifar100": "CIFAR100",
    }[settings.kind]
    getattr(datasets, name)(root, download=True)

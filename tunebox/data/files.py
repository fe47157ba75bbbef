"""Where the files of torchvision's data sets lie. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunebox.data.sets.torchvision import TorchvisionSettings

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_ALL_IDX = IDX_FILES["train"] + IDX_FILES["test"]

# kind: the folder inside the root in which torchvision keeps the files, and their names
_LAYOUT: dict[str, tuple[str, tuple[str, ...]]] = {
    "mnist": ("MNIST/raw", _ALL_IDX),
    "fashion_mnist": ("FashionMNIST/raw", _ALL_IDX),
    "cifar10": (
        "cifar-10-batches-py",
        ("batches.meta", *(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    ),
    "cifar100": ("cifar-100-python", ("meta", "train", "test")),
    "svhn": ("", ("train_32x32.mat", "test_32x32.mat")),
}


def data_root(settings: TorchvisionSettings) -> Path:
    """Return the folder that torchvision calls the root."""
    return Path(settings.root or "~/.cache/tunebox").expanduser()


def searched_folders(settings: TorchvisionSettings) -> list[Path]:
    """Return the folders in which the files may lie, the preferred one first."""
    root = data_root(settings)
    folders = [root / _LAYOUT[settings.kind][0]]
    if settings.kind in ("mnist", "fashion_mnist") and settings.root is not None:
        folders.append(root)
    if settings.kind == "fashion_mnist" and settings.root is None:
        folders.append(DEBIAN_FASHION_MNIST)
    return folders


def found_folder(settings: TorchvisionSettings) -> Path | None:
    """Return the first folder that holds every file of the data set, or None."""
    names = _LAYOUT[settings.kind][1]
    for folder in searched_folders(settings):
        if all(existing_file(folder, name) is not None for name in names):
            return folder
    return None


def existing_file(folder: Path, name: str) -> Path | None:
    """Return the path of ``name`` or of ``name.gz`` in ``folder``, or None."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None

"""The images of a folder with a folder for each class. Imports no torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tunebox.data.listing import FileItem, Listing
from tunebox.errors import DataError

# what torchvision.datasets.ImageFolder takes for an image
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm"),
    *(".tif", ".tiff", ".webp"),
)


def class_names(part: Path) -> tuple[str, ...]:
    """Return the names of the class folders in ``part``, in alphabetical order.

    Folders whose names start with ``.`` or ``__``, such as ``.ipynb_checkpoints``, are no classes.

    Raises:
        DataError: There is no such folder.
    """
    if not part.is_dir():
        raise DataError(f"{part}: no such folder; data/root must hold train/<class>/<images>")
    return tuple(sorted(e.name for e in os.scandir(part) if e.is_dir() and not _is_hidden(e.name)))


def list_class_folders(part: Path, classes: tuple[str, ...]) -> Listing:
    """Return the images of ``classes`` below ``part``; a class without a folder has none.

    The order is that of torchvision's ``ImageFolder``. Hidden files and folders are left out. A
    folder with the suffix of an image is listed like a file, so that whoever reads it complains.
    """
    files: list[Path] = []
    labels: list[int] = []
    others: Counter[str] = Counter()
    for label, name in enumerate(classes):
        for folder, odd, names in sorted(_walk(part / name)):
            images = sorted(child for child in [*odd, *names] if _is_image(child))
            files += [Path(folder, child) for child in images]
            left = [Path(child).suffix.lower() for child in names if child not in images]
            others.update(suffix or "no suffix" for suffix in left)
        labels += [label] * (len(files) - len(labels))
    return Listing(
        classes,
        tuple(labels),
        items=lambda: map(FileItem, files),
        place=str(part),
        sources=tuple(files),
        others=others,
    )


def images_below(folder: Path) -> list[Path]:
    """Return all files below ``folder`` that are named like images, in order."""
    return [
        Path(inner, child)
        for inner, odd, names in sorted(_walk(folder))
        for child in sorted(child for child in [*odd, *names] if _is_image(child))
    ]


def _walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield each folder, the folders in it that are named like images, and its visible files."""
    for folder, inner, names in os.walk(top, followlinks=True):
        odd = [child for child in inner if _is_image(child)]
        inner[:] = [child for child in inner if child not in odd and not _is_hidden(child)]
        yield folder, odd, [child for child in names if not child.startswith(".")]


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def _is_hidden(folder: str) -> bool:
    return folder.startswith((".", "__"))

"""Reads the images of a folder with a folder for each class, and says what is in it.

Imports no torch. Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tunebox.data.class_folders import ClassFolders, class_names, list_class_folders
from tunebox.data.image_file import ImageFile, ImageFileError, ImageInfo, ReadOptions, read_image
from tunebox.data.pixels import common_bits, fit, grey, stacked
from tunebox.data.read_files import (
    BadFile,
    Progress,
    describe_bad_files,
    describe_infos,
    read_files,
)
from tunebox.errors import DataError

if TYPE_CHECKING:
    from tunebox.data.sets.image_folder import ImageFolderSettings
    from tunebox.data.settings import SplitPart

_SENSOR_BITS = (8, 10, 12, 14)


@dataclass(frozen=True)
class Inspection:
    """What was found in a data set before anything is trained.

    Attributes:
        found: Number, formats, modes, depths and sizes of the images in one line; None if nothing
            had to be read.
        notes: A line for each thing that is likely not as it was meant.
        bad: Files that are left out.
    """

    found: str | None = None
    notes: list[str] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)


@dataclass(frozen=True)
class ReadPart:
    """The images of a part.

    Attributes:
        images: ``(N, C, H, W)``, uint8 or uint16.
        bits: White is ``2**bits - 1``.
        labels: The class of each image.
        classes: Names of the classes.
        found: As in `Inspection`.
    """

    images: np.ndarray
    bits: int
    labels: list[int]
    classes: tuple[str, ...]
    found: str


def read_part(settings: ImageFolderSettings, part: SplitPart) -> ReadPart:
    """Return the images of a part, all of one shape and one scale.

    Raises:
        DataError: A file cannot be read and ``bad_files`` is ``error``, or a class has too few.
    """
    folders = _folders(settings, part)
    images: list[np.ndarray] = []
    labels: list[int] = []
    infos: list[ImageInfo] = []
    bits: list[int] = []
    bad: list[BadFile] = []
    results = read_files(folders.files, partial(read_fitted, settings))
    for label, read in zip(folders.labels, results, strict=True):
        if read.result is None:
            bad += [read.bad] if read.bad else []
            continue
        small, depth, info = read.result
        images.append(small)
        bits.append(depth)
        infos.append(info)
        labels.append(label)
    _check_bad_files(settings, bad, len(folders.files))
    if part == "train":
        _check_counts(settings, folders, labels)
        _check_depth(settings, bits)
    white = common_bits(bits) if settings.bits == "auto" else settings.bits
    found = _describe(folders, infos)
    return ReadPart(stacked(images, bits, white), white, labels, folders.classes, found)


def read_fitted(settings: ImageFolderSettings, path: Path) -> tuple[np.ndarray, int, ImageInfo]:
    """Return an image as a model gets it, ``(C, size, size)``, its depth, and what it is.

    Raises:
        ImageFileError: The file is not read, for a reason that is known.
        Exception: The file is damaged: decoders raise many kinds.
    """
    image = _read(settings, path)
    return fit(_channels(settings, image), settings.image_size), image.bits, image.info


def read_exact(settings: ImageFolderSettings, path: Path) -> tuple[np.ndarray, int, ImageInfo]:
    """Return an image of its own size, ``(C, H, W)``; else as `read_fitted`."""
    image = _read(settings, path)
    pixels = np.ascontiguousarray(_channels(settings, image).transpose(2, 0, 1))
    return pixels, image.bits, image.info


def _channels(settings: ImageFolderSettings, image: ImageFile) -> np.ndarray:
    """Return the pixels with the channels of the settings, ``(H, W, C)``."""
    pixels = grey(image.pixels) if settings.channels == 1 else image.pixels
    if settings.channels == 3 and pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return pixels


def _read(settings: ImageFolderSettings, path: Path) -> ImageFile:
    image = read_image(path, ReadOptions(settings.range, settings.background))
    if settings.bits != "auto" and image.bits > 8:
        most = int(image.pixels.max())
        if most > 2**settings.bits - 1:
            raise ImageFileError(
                f"holds the value {most}, more than the {2**settings.bits - 1} of data/bits: "
                f"{settings.bits}"
            )
    return image


def _folders(settings: ImageFolderSettings, part: SplitPart) -> ClassFolders:
    classes = class_names(settings.folder / "train")
    return list_class_folders(settings.folder / part, classes)


def _check_depth(settings: ImageFolderSettings, bits: Sequence[int]) -> None:
    if settings.bits != "auto" and common_bits(bits) == 8 < settings.bits:
        raise DataError(f"data/bits is {settings.bits}, but all images have 8 bits; leave it out")


def _check_bad_files(settings: ImageFolderSettings, bad: list[BadFile], num_files: int) -> None:
    if bad and settings.bad_files == "error":
        raise DataError(
            f"{describe_bad_files(bad, num_files)}; repair or remove them, or leave them out with "
            "data/bad_files: skip"
        )


def _check_counts(
    settings: ImageFolderSettings, folders: ClassFolders, labels: Sequence[int]
) -> None:
    """Refuse a class too small for a part of each kind."""
    counts = Counter(labels)
    without_test = settings.seeded_test_fraction is not None
    needed = 3 if without_test else 2
    parts = "train, validation and test" if without_test else "train and validation"
    for label, name in enumerate(folders.classes):
        if counts[label] < needed:
            raise DataError(
                f"{settings.folder / 'train' / name}: {counts[label]} image(s) that can be read, "
                f"and the class needs {needed}, one each for {parts}; add some or remove the folder"
            )


def _describe(folders: ClassFolders, infos: Sequence[ImageInfo]) -> str:
    return f"{len(infos):,} images in {len(folders.classes)} classes: {describe_infos(infos)}"


# -- The pass before a search


@dataclass(frozen=True)
class _Seen:
    """What the pass keeps of an image."""

    path: Path
    label: int
    info: ImageInfo
    bits: int
    is_grey: bool
    largest: int | None  # of integers of more than 8 bits, as they are in the file
    digest: bytes


def inspect_image_folder(settings: ImageFolderSettings, progress: Progress | None) -> Inspection:
    """Read every file of train and test once, and return what there is to say.

    Raises:
        DataError: Files cannot be read and ``bad_files`` is ``error``, or a class has too few.
    """
    parts: list[SplitPart] = ["train", "test"]
    if settings.seeded_test_fraction is not None:
        parts.remove("test")
    folders = {part: _folders(settings, part) for part in parts}
    files = [path for found in folders.values() for path in found.files]
    labels = [label for found in folders.values() for label in found.labels]
    bad: list[BadFile] = []
    seen: list[_Seen | None] = []
    results = read_files(files, partial(_look, settings), progress)
    for label, read in zip(labels, results, strict=True):
        bad += [read.bad] if read.bad else []
        seen.append(None if read.result is None else _Seen(read.path, label, *read.result))
    _check_bad_files(settings, bad, len(files))
    num_train = len(folders["train"].files)
    train = [one for one in seen[:num_train] if one is not None]
    test = [one for one in seen[num_train:] if one is not None]
    _check_counts(settings, folders["train"], [one.label for one in train])
    _check_depth(settings, [one.bits for one in train])
    found = _describe(folders["train"], [one.info for one in train])
    if test:
        found += f"; test: {_describe(folders['test'], [one.info for one in test])}"
    notes = [
        *([f"{describe_bad_files(bad, len(files))}; they are left out"] if bad else []),
        *_depth_notes(settings, train),
        *_channel_notes(settings, train, test),
        *_file_notes(folders, [*train, *test]),
        *(_empty_classes(folders["test"], test) if test else []),
        *_copies(train, test),
    ]
    return Inspection(found, notes, bad)


def _look(
    settings: ImageFolderSettings, path: Path
) -> tuple[ImageInfo, int, bool, int | None, bytes]:
    image = _read(settings, path)
    pixels, info = image.pixels, image.info
    is_count = 8 < info.bits <= 16 and info.mode[0] not in "FI"
    digest = blake2b(repr((pixels.shape, image.bits)).encode(), digest_size=16)
    digest.update(pixels.data)
    largest = int(pixels.max()) if is_count else None
    return info, image.bits, pixels.shape[2] == 1, largest, digest.digest()


def _depth_notes(settings: ImageFolderSettings, train: Sequence[_Seen]) -> Iterator[str]:
    shallow = sum(one.bits == 8 for one in train)
    if 0 < shallow < len(train):
        yield (
            f"{shallow:,} images of train have 8 bits and {len(train) - shallow:,} have more: "
            "white is the largest value that each depth can have"
        )
    largest = max((one.largest for one in train if one.largest is not None), default=None)
    if settings.bits != "auto" or largest is None:
        return
    container = common_bits([one.bits for one in train])
    likely = next((bits for bits in _SENSOR_BITS if largest < 2**bits), container)
    if likely < container:
        share = largest / (2**container - 1)
        yield (
            f"data/bits: the largest value of the {container}-bit images in train is {largest:,}, "
            f"as of {likely} bits: they fill {share:.2%} of the range [0, 1]; if that is the depth "
            f"of the sensor, write bits: {likely}"
        )


def _channel_notes(
    settings: ImageFolderSettings, train: Sequence[_Seen], test: Sequence[_Seen]
) -> Iterator[str]:
    num_grey = sum(one.is_grey for one in train)
    num_colour = len(train) - num_grey
    if settings.channels == "auto" and num_grey and num_colour:
        yield (
            f"data/channels: {num_grey:,} images of train are grey and {num_colour:,} have "
            "colours: all get 3 channels; channels: 1 makes all grey"
        )
    odd = sum(one.is_grey != (num_colour == 0) for one in test)
    if settings.channels == "auto" and odd and 0 in (num_grey, num_colour):
        what = "have colours, and all of train is grey" if not num_colour else "are grey"
        yield (
            f"data/channels: {odd:,} images of test {what}: a model gets them with the channels "
            "of train"
        )


def _file_notes(folders: dict[SplitPart, ClassFolders], images: Sequence[_Seen]) -> Iterator[str]:
    others: Counter[str] = sum((found.others for found in folders.values()), Counter())
    if others:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(5))
        yield f"{others.total():,} files are not named like images and are left out: {kinds}"
    pages = [one.path for one in images if one.info.num_pages > 1]
    if pages:
        yield f"{len(pages):,} files hold several images, the first is read: such as {pages[0]}"


def _empty_classes(folders: ClassFolders, test: Sequence[_Seen]) -> Iterator[str]:
    counts = Counter(one.label for one in test)
    empty = [name for label, name in enumerate(folders.classes) if not counts[label]]
    if empty:
        yield (
            f"test has no image of {', '.join(empty)}: what the model does with them is not "
            "measured there"
        )


def _copies(train: Sequence[_Seen], test: Sequence[_Seen]) -> Iterator[str]:
    """Say which images are there more than once, by their pixels."""
    by_digest: defaultdict[bytes, list[_Seen]] = defaultdict(list)
    for one in train:
        by_digest[one.digest].append(one)
    in_both = [(by_digest[one.digest][0], one) for one in test if one.digest in by_digest]
    if in_both:
        first, second = in_both[0]
        yield (
            f"{len(in_both):,} images of test are in train too, such as {second.path} and "
            f"{first.path}: the accuracy on test is too high by them; remove one of each"
        )
    several = [group for group in by_digest.values() if len(group) > 1]
    if several:
        num_copies = sum(len(group) - 1 for group in several)
        torn = [group for group in several if len({one.label for one in group}) > 1]
        classes = f", {len(torn):,} of them under more than one class" if torn else ""
        first, second = (torn or several)[0][:2]
        yield (
            f"{num_copies:,} images of train are copies of others{classes}, such as {second.path} "
            f"and {first.path}: one may be trained on and the other be validated or tested with; "
            "remove all but one"
        )

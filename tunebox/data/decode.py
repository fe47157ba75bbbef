"""Decodes the images of a part, wherever they come from, to rows of one shape and one scale.

Imports no torch. Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tunebox.data.image_file import ImageFile, ImageFileError, ImageInfo, ReadOptions
from tunebox.data.listing import Item, Listing
from tunebox.data.pixels import common_bits, fit, grey, row_of
from tunebox.data.read_files import (
    BadFile,
    Progress,
    describe_bad_files,
    describe_infos,
    read_files,
)
from tunebox.errors import DataError

if TYPE_CHECKING:
    from tunebox.data.picture_settings import PictureSettings
    from tunebox.data.settings import SplitPart


@dataclass(frozen=True)
class Facts:
    """What there is to know of the images of a part, besides their values.

    Attributes:
        shape: ``(N, C, H, W)``.
        bits: White is ``2**bits - 1``; up to 8 the values are uint8, else uint16.
        labels: The class of each image.
        classes: Names of the classes.
        found: Formats, depths and sizes of the files in one line.
        is_validation: As in `Listing`.
    """

    shape: tuple[int, ...]
    bits: int
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    found: str
    is_validation: tuple[bool, ...] | None

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Type of the values."""
        return np.dtype(np.uint8) if self.bits <= 8 else np.dtype(np.uint16)


class _WiderError(Exception):
    """An image has more channels or a greater depth than those before it."""

    def __init__(self, channels: int, bits: int) -> None:
        super().__init__()
        self.channels = channels
        self.bits = bits


def decode(
    settings: PictureSettings,
    part: SplitPart,
    listing: Listing,
    write: Callable[[np.ndarray], object],
    restart: Callable[[], object],
    progress: Progress | None = None,
) -> Facts:
    """Decode all images on all cores at hand, and write them one after the other.

    The shorter side is scaled to ``image_size``, then the centre is cut out. Grey images among
    colours have the same value in all channels; images of 8 bits among deeper ones are scaled, so
    that their white is the white of the rest.

    Args:
        settings: Settings of the data.
        part: Which part it is.
        listing: Its images.
        write: Called with each image, ``(C, H, W)``.
        restart: Called before all images are written once more: colours came after grey images, or
            deep images after shallow ones.
        progress: Called with the number of images that are done, and of all.

    Raises:
        DataError: A file cannot be read and ``bad_files`` is ``error``, or a class has too few.
    """
    channels = 1
    bits: int = 8 if settings.bits == "auto" else settings.bits
    while True:
        try:
            return _decode_once(settings, part, listing, channels, bits, write, progress)
        except _WiderError as wider:
            restart()
            channels, bits = wider.channels, wider.bits


def _decode_once(
    settings: PictureSettings,
    part: SplitPart,
    listing: Listing,
    channels: int,
    bits: int,
    write: Callable[[np.ndarray], object],
    progress: Progress | None,
) -> Facts:
    kept: list[int] = []
    infos: list[ImageInfo] = []
    depths: list[int] = []
    bad: list[BadFile] = []
    shape: tuple[int, ...] | None = None
    results = read_files(listing.items(), len(listing), partial(_small, settings), progress)
    for place, read in enumerate(results):
        if read.result is None:
            bad += [read.bad] if read.bad else []
            continue
        small, depth, info = read.result
        most = max(channels, len(small)), max(bits, depth) if settings.bits == "auto" else bits
        if most != (channels, bits) and kept:
            raise _WiderError(*most)
        channels, bits = most
        row = row_of(small, depth, channels, bits)
        shape = row.shape if shape is None else shape
        if row.shape != shape:
            sizes = " and ".join("x".join(map(str, one[1:])) for one in (shape, row.shape))
            raise DataError(
                f"{listing.place}: images of {sizes} pixels; data/image_size makes them equal"
            )
        write(row)
        kept.append(place)
        infos.append(info)
        depths.append(depth)
    labels = [listing.labels[place] for place in kept]
    check_bad_files(settings, bad, len(listing))
    if part == "train":
        check_counts(settings, listing, labels, kept)
        check_depth(settings, depths)
    if shape is None:
        raise DataError(f"{listing.place}: {part} has no image that can be read")
    chosen = listing.is_validation
    return Facts(
        (len(kept), *shape),
        bits,
        tuple(labels),
        listing.classes,
        describe(listing, infos),
        None if chosen is None else tuple(chosen[place] for place in kept),
    )


def read_item(settings: PictureSettings, item: Item) -> ImageFile:
    """Return an image as the settings say; raises what `Item.read` raises."""
    image = item.read(ReadOptions(settings.range, settings.background))
    if settings.bits != "auto" and image.bits > 8:
        most = int(image.pixels.max())
        if most > 2**settings.bits - 1:
            raise ImageFileError(
                f"holds the value {most}, more than the {2**settings.bits - 1} of data/bits: "
                f"{settings.bits}"
            )
    return image


def _small(settings: PictureSettings, item: Item) -> tuple[np.ndarray, int, ImageInfo]:
    return read_fitted(settings, item, settings.image_side)


def read_fitted(
    settings: PictureSettings, item: Item, side: int | None
) -> tuple[np.ndarray, int, ImageInfo]:
    """Return an image as a model gets it, ``(C, side, side)``, its depth, and what it is.

    Args:
        settings: Settings of the data.
        item: The image.
        side: Pixels of the sides; None leaves an image of its own size.

    Raises:
        ImageFileError: The file is not read, for a reason that is known.
        Exception: The file is damaged: decoders raise many kinds.
    """
    image = read_item(settings, item)
    pixels = grey(image.pixels) if settings.channels == 1 else image.pixels
    if settings.channels == 3 and pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return fit(pixels, side), image.bits, image.info


def check_bad_files(settings: PictureSettings, bad: list[BadFile], num_files: int) -> None:
    """Refuse images that cannot be read, unless they are to be left out."""
    if bad and settings.bad_files == "error":
        raise DataError(
            f"{describe_bad_files(bad, num_files)}; repair or remove them, or leave them out with "
            "data/bad_files: skip"
        )


def check_counts(
    settings: PictureSettings, listing: Listing, labels: Sequence[int], kept: Sequence[int]
) -> None:
    """Refuse a class too small for a part of each kind.

    Args:
        settings: Settings of the data.
        listing: The training set.
        labels: Classes of the images that can be read.
        kept: Their places in the listing.
    """
    counts = Counter(labels)
    without_test = settings.seeded_test_fraction is not None
    parts = ["train", *(["test"] if without_test else [])]
    if listing.is_validation is None:
        parts.insert(1, "validation")
    else:
        counts = Counter(
            label
            for label, place in zip(labels, kept, strict=True)
            if not listing.is_validation[place]
        )
    needed = len(parts)
    named = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    for label, name in enumerate(listing.classes):
        if counts[label] < needed:
            raise DataError(
                f"{listing.place}/{name}: {counts[label]} image(s) that can be read, and the "
                f"class needs {needed}, one each for {named}; add some or remove the class"
            )


def check_depth(settings: PictureSettings, bits: Sequence[int]) -> None:
    """Refuse a depth that is set for images that have 8 bits anyway."""
    if settings.bits != "auto" and common_bits(bits) == 8 < settings.bits:
        raise DataError(f"data/bits is {settings.bits}, but all images have 8 bits; leave it out")


def describe(listing: Listing, infos: Sequence[ImageInfo]) -> str:
    """Return how many images and classes there are, and their formats, depths and sizes."""
    return f"{len(infos):,} images in {len(listing.classes)} classes: {describe_infos(infos)}"

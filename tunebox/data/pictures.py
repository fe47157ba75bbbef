"""Reads the images of a part, wherever they come from, as one array.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tunebox.data.image_file import ImageFile, ImageFileError, ImageInfo, ReadOptions
from tunebox.data.listing import Item, Listing
from tunebox.data.pixels import common_bits, fit, grey, stacked
from tunebox.data.read_files import BadFile, describe_bad_files, describe_infos, read_files
from tunebox.errors import DataError

if TYPE_CHECKING:
    from tunebox.data.image_set import ImageSet
    from tunebox.data.picture_settings import PictureSettings
    from tunebox.data.settings import SplitPart


def load_pictures(settings: PictureSettings, part: SplitPart) -> ImageSet:
    """Return the images of a part, all of one shape and one scale, on the CPU.

    The shorter side is scaled to ``image_size``, then the centre is cut out.

    Raises:
        DataError: A file cannot be read and ``bad_files`` is ``error``, or a class has too few.
    """
    import torch

    from tunebox.data.image_set import ImageSet

    listing = settings.listing(part)
    images: list[np.ndarray] = []
    kept: list[int] = []
    infos: list[ImageInfo] = []
    bits: list[int] = []
    bad: list[BadFile] = []
    results = read_files(listing.items(), len(listing), partial(_small, settings))
    for place, read in enumerate(results):
        if read.result is None:
            bad += [read.bad] if read.bad else []
            continue
        small, depth, info = read.result
        images.append(small)
        bits.append(depth)
        infos.append(info)
        kept.append(place)
    labels = [listing.labels[place] for place in kept]
    check_bad_files(settings, bad, len(listing))
    if part == "train":
        check_counts(settings, listing, labels, kept)
        check_depth(settings, bits)
    _check_shapes(images, listing)
    white = common_bits(bits) if settings.bits == "auto" else settings.bits
    chosen = listing.is_validation
    return ImageSet(
        torch.from_numpy(stacked(images, bits, white)),
        torch.tensor(labels, dtype=torch.int64),
        num_classes=len(listing.classes),
        bits=white,
        class_names=listing.classes,
        found=describe(listing, infos),
        is_validation=None if chosen is None else torch.tensor([chosen[place] for place in kept]),
    )


def read_item(settings: PictureSettings, item: Item) -> ImageFile:
    """Return an image as the settings say; raises what `read_image` raises."""
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
        listing: The train part.
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


def _check_shapes(images: Sequence[np.ndarray], listing: Listing) -> None:
    shapes = {image.shape[1:] for image in images}
    if len(shapes) > 1:
        sizes = " and ".join(f"{height}x{width}" for height, width in sorted(shapes)[:2])
        raise DataError(
            f"{listing.place}: images of {sizes} pixels; data/image_size makes them equal"
        )


def describe(listing: Listing, infos: Sequence[ImageInfo]) -> str:
    """Return how many images and classes there are, and their formats, depths and sizes."""
    return f"{len(infos):,} images in {len(listing.classes)} classes: {describe_infos(infos)}"

"""Reads all images once before a search, and says what is in them. Imports no torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias
from zlib import adler32, crc32

from tunebox.data.decode import (
    check_bad_files,
    check_counts,
    check_depth,
    describe,
    read_item,
)
from tunebox.data.image_cache import is_cached, known_digests
from tunebox.data.image_file import ImageInfo
from tunebox.data.listing import Item, Listing
from tunebox.data.pixels import common_bits
from tunebox.data.read_files import BadFile, Progress, describe_bad_files, read_files
from tunebox.text import counted

if TYPE_CHECKING:
    from tunebox.data.picture_settings import PictureSettings
    from tunebox.data.settings import SplitPart

_Digest: TypeAlias = tuple[tuple[int, ...], int, int, int]

_SENSOR_BITS = (8, 10, 12, 14)


@dataclass(frozen=True)
class Inspection:
    """What was found in a data set before anything is trained.

    Attributes:
        found: Number, formats, modes, depths and sizes of the images in one line; None if nothing
            had to be read.
        notes: A line for each thing that is likely not as it was meant.
        bad: Files that are left out.
        image_shape: Channels, height and width of the images that a model gets; None if they are
            not known before they are loaded.
        num_images: Images for training and validation.
        num_classes: Number of classes.
        num_validation: Images of the validation set that the authors of the data chose; None if
            they did not choose.
    """

    found: str | None = None
    notes: list[str] = field(default_factory=list)
    bad: list[BadFile] = field(default_factory=list)
    image_shape: tuple[int, int, int] | None = None
    num_images: int = 0
    num_classes: int = 0
    num_validation: int | None = None


@dataclass(frozen=True)
class _Seen:
    """What the pass keeps of an image."""

    name: str
    label: int
    info: ImageInfo
    bits: int
    is_grey: bool
    largest: int | None  # of integers of more than 8 bits, as they are in the file
    digest: _Digest  # of the pixels


def inspect_pictures(settings: PictureSettings, progress: Progress | None) -> Inspection:
    """Read every image of train and test once, and return what there is to say.

    Raises:
        DataError: Files cannot be read and ``bad_files`` is ``error``, or a class has too few.
    """
    parts: list[SplitPart] = ["train", "test"] if settings.has_test_part else ["train"]
    listings = {part: settings.listing(part) for part in parts}
    digests = {
        part: known_digests(settings, listing)
        for part, listing in listings.items()
        if is_cached(settings, listing)
    }
    items = chain.from_iterable(
        map(digests[part].noting, listing.items()) if part in digests else listing.items()
        for part, listing in listings.items()
    )
    labels = [label for listing in listings.values() for label in listing.labels]
    bad: list[BadFile] = []
    seen: list[_Seen | None] = []
    results = read_files(items, len(labels), partial(_look, settings), progress)
    for label, read in zip(labels, results, strict=True):
        bad += [read.bad] if read.bad else []
        seen.append(None if read.result is None else _Seen(read.name, label, *read.result))
    for noted in digests.values():  # the cache need not read for them once more
        with suppress(OSError):
            noted.save()
    check_bad_files(settings, bad, len(labels))
    num_train = len(listings["train"])
    kept = [place for place, one in enumerate(seen[:num_train]) if one is not None]
    train = [one for one in seen[:num_train] if one is not None]
    test = [one for one in seen[num_train:] if one is not None]
    check_counts(settings, listings["train"], [one.label for one in train], kept)
    check_depth(settings, [one.bits for one in train])
    found = describe(listings["train"], [one.info for one in train])
    if test:
        found += f"; test: {describe(listings['test'], [one.info for one in test])}"
    notes = [
        *([f"{describe_bad_files(bad, len(labels))}; they are left out"] if bad else []),
        *_depth_notes(settings, train),
        *_channel_notes(settings, train, test),
        *_file_notes(listings.values(), [*train, *test]),
        *(_empty_classes(listings["test"], test) if test else []),
        *_copies(train, test),
    ]
    return Inspection(
        found,
        notes,
        bad,
        _shape(settings, train),
        len(train),
        len(listings["train"].classes),
        _num_validation(listings["train"], kept),
    )


def _num_validation(listing: Listing, kept: Sequence[int]) -> int | None:
    """Return how many of the images at the places ``kept`` were chosen for validation."""
    if listing.is_validation is None:
        return None
    return sum(listing.is_validation[place] for place in kept)


def _shape(settings: PictureSettings, train: Sequence[_Seen]) -> tuple[int, int, int]:
    """Return channels, height and width of the images that a model gets."""
    channels = settings.channels
    if channels == "auto":
        channels = 1 if all(one.is_grey for one in train) else 3
    side, first = settings.image_side, train[0].info
    return channels, side or first.height, side or first.width


def _look(
    settings: PictureSettings, item: Item
) -> tuple[ImageInfo, int, bool, int | None, _Digest]:
    image = read_item(settings, item)
    pixels, info = image.pixels, image.info
    is_count = 8 < info.bits <= 16 and info.mode[0] not in "FI"
    largest = int(pixels.max()) if is_count else None
    # two checksums of 32 bits take half the time of a cryptographic hash
    digest = (pixels.shape, image.bits, crc32(pixels.data), adler32(pixels.data))
    return info, image.bits, pixels.shape[2] == 1, largest, digest


def _depth_notes(settings: PictureSettings, train: Sequence[_Seen]) -> Iterator[str]:
    shallow = sum(one.bits == 8 for one in train)
    if 0 < shallow < len(train):
        yield (
            f"{counted(shallow, 'image of train has', 'images of train have')} 8 bits and "
            f"{counted(len(train) - shallow, 'has', 'have')} more: white is the largest value that "
            "each depth can have"
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
    settings: PictureSettings, train: Sequence[_Seen], test: Sequence[_Seen]
) -> Iterator[str]:
    num_grey = sum(one.is_grey for one in train)
    num_colour = len(train) - num_grey
    if settings.channels == "auto" and num_grey and num_colour:
        yield (
            f"data/channels: {counted(num_grey, 'image of train is', 'images of train are')} grey "
            f"and {counted(num_colour, 'has', 'have')} colours: all get 3 channels; channels: 1 "
            "makes all grey"
        )
    odd = sum(one.is_grey != (num_colour == 0) for one in test)
    if settings.channels == "auto" and odd and 0 in (num_grey, num_colour):
        has, have, what = ("is", "are", "grey") if num_colour else ("has", "have", "colours")
        and_train = "" if num_colour else ", and all of train is grey"
        yield (
            f"data/channels: {counted(odd, f'image of test {has}', f'images of test {have}')} "
            f"{what}{and_train}: a model gets them with the channels of train"
        )


def _file_notes(listings: Iterable[Listing], images: Sequence[_Seen]) -> Iterator[str]:
    others: Counter[str] = sum((listing.others for listing in listings), Counter())
    if others:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(5))
        number = counted(others.total(), "file is", "files are")
        yield f"{number} not named like images and left out: {kinds}"
    pages = [one.name for one in images if one.info.num_pages > 1]
    if pages:
        number = counted(len(pages), "file holds", "files hold")
        yield f"{number} several images, of which the first is read: such as {pages[0]}"


def _empty_classes(listing: Listing, test: Sequence[_Seen]) -> Iterator[str]:
    counts = Counter(one.label for one in test)
    empty = [name for label, name in enumerate(listing.classes) if not counts[label]]
    if empty:
        yield (
            f"test has no image of {', '.join(empty)}: what the model does with them is not "
            "measured there"
        )


def _copies(train: Sequence[_Seen], test: Sequence[_Seen]) -> Iterator[str]:
    """Say which images are there more than once, by their pixels."""
    by_digest: defaultdict[_Digest, list[_Seen]] = defaultdict(list)
    for one in train:
        by_digest[one.digest].append(one)
    in_both = [(by_digest[one.digest][0], one) for one in test if one.digest in by_digest]
    if in_both:
        first, second = in_both[0]
        yield (
            f"{counted(len(in_both), 'image of test is', 'images of test are')} in train too, such "
            f"as {second.name} and {first.name}: the accuracy on test is too high by them; remove "
            "one of each"
        )
    several = [group for group in by_digest.values() if len(group) > 1]
    if several:
        num_copies = sum(len(group) - 1 for group in several)
        torn = [group for group in several if len({one.label for one in group}) > 1]
        classes = f", {len(torn):,} of them under more than one class" if torn else ""
        first, second = (torn or several)[0][:2]
        yield (
            f"{counted(num_copies, 'image of train copies', 'images of train copy')} another"
            f"{classes}, such as {second.name} and {first.name}: one may be trained on and the "
            "other be validated or tested with; remove all but one"
        )

"""Decoded images in files, one folder for each part of a data set and its settings.

A node decodes once. What is read again comes from the pages that the system keeps in its memory,
which all processes of the node share. Reads go by position and not through a mapping: a file that
is cut short is then an error and no end of the process, and no process counts the pages as its own.

Imports no torch. Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import weakref
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunebox.data.decode import Facts, decode
from tunebox.data.file_digests import FileDigests
from tunebox.data.listing import Listing
from tunebox.errors import DataError, describe_os_error

if TYPE_CHECKING:
    from tunebox.data.picture_settings import PictureSettings
    from tunebox.data.read_files import Progress
    from tunebox.data.settings import SplitPart

_FORMAT = 2  # 1 was named after sizes and times of the files
_IMAGES, _FACTS = "images.bin", "facts.json"
_DIGESTS = "files-{}.json"
_SMALL = 1 << 20  # bytes that are decoded as fast as they are found in the cache
_USUAL_SIDE = 64  # of images whose size is not known before they are read
_SAMPLES = 16  # blocks whose checksums are compared when an entry is opened
_BLOCK = 1 << 20
_MOST_BYTES = 100 * 2**30  # of all entries together
_MOST_SECONDS = 30 * 24 * 3600.0  # since an entry was used last
# What of the settings decides what a decoded image is; the listing has the rest.
_DECISIVE = {"channels", "bits", "range", "background", "bad_files"}


@dataclass(frozen=True)
class StoredImages:
    """Decoded images in a file.

    Attributes:
        path: The file: all values, one image after the other.
        facts: Their shape, labels and so on.
    """

    path: Path
    facts: Facts

    def __len__(self) -> int:
        return self.facts.shape[0]

    @cached_property
    def _file(self) -> int:
        file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, file)
        return file

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out: it belongs to this process."""
        return {"path": self.path, "facts": self.facts}

    @property
    def image_bytes(self) -> int:
        """Bytes of an image."""
        return int(np.prod(self.facts.shape[1:])) * self.facts.dtype.itemsize

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the images ``(M, C, H, W)`` at ``rows``, ``(M,)`` integers.

        Raises:
            DataError: The file is not what it was any more.
        """
        result = np.empty((len(rows), *self.facts.shape[1:]), self.facts.dtype)
        if not len(rows):
            return result
        flat = result.reshape(-1).view(np.uint8).data
        size = self.image_bytes
        is_run = len(rows) == 1 or bool((np.diff(rows) == 1).all())
        if is_run:
            self._read_into(flat, int(rows[0]) * size)
        else:
            for place, row in enumerate(rows.tolist()):
                self._read_into(flat[place * size : (place + 1) * size], row * size)
        return result

    def _read_into(self, buffer: memoryview, offset: int) -> None:
        try:
            while len(buffer):
                count = os.preadv(self._file, [buffer], offset)
                if count == 0:
                    raise DataError(f"{self.path} was cut short while it was in use; start again")
                buffer, offset = buffer[count:], offset + count
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}; try again") from error


def is_cached(settings: PictureSettings, listing: Listing) -> bool:
    """Return whether images are kept decoded: all but those that are decoded at once."""
    return len(listing) * 3 * (settings.image_side or _USUAL_SIDE) ** 2 > _SMALL


def known_digests(settings: PictureSettings, listing: Listing) -> FileDigests:
    """Return what the cache remembers of the contents of the files of a part."""
    place = _digest(os.path.abspath(listing.place))
    return FileDigests(settings.cache_folder / _DIGESTS.format(place))


def stored_images(
    settings: PictureSettings,
    part: SplitPart,
    listing: Listing,
    progress: Progress | None = None,
) -> StoredImages:
    """Return the decoded images of a part from the cache, where they are put first if need be.

    One process of a node decodes, others wait for it. The name of an entry is made of the settings
    that matter and of the contents of the files. Entries that were not used for a month go, and
    the oldest where all together are too large.

    Raises:
        DataError: As `decode`, or the cache cannot be written.
    """
    from filelock import FileLock

    folder = settings.cache_folder
    wanted = _digest(_head(settings, part, listing), np.asarray(listing.labels, np.int64).data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{wanted}.lock"):
            digests = known_digests(settings, listing)
            found = None
            if any(folder.glob(f"{wanted}-*")):  # files are not read twice for nothing
                found = _open(folder / _name(wanted, digests, listing))
            if found is None:
                _make_room(folder)
                entry = _decode_into(folder, wanted, digests, settings, part, listing, progress)
                found = _open(entry)
            digests.save()
    except OSError as error:
        raise DataError(
            f"decoded images cannot be kept: {describe_os_error(error)}; name a folder with room "
            "for them in data/cache"
        ) from error
    if found is None:
        raise DataError(f"{folder}: what was written there cannot be read; see data/cache")
    return found


def _head(settings: PictureSettings, part: SplitPart, listing: Listing) -> str:
    """Return what decides the decoded images, besides the labels and the files' contents."""
    chosen = settings.model_dump(include=_DECISIVE)
    head = [_FORMAT, part, settings.image_side, chosen, listing.classes, listing.is_validation]
    return repr(head)


def _name(wanted: str, digests: FileDigests, listing: Listing) -> str:
    return f"{wanted}-{_digest(' '.join(digests.of(listing.sources)))}"


def _digest(text: str, *more: memoryview) -> str:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
    for content in more:
        digest.update(content)
    return digest.hexdigest()


def _decode_into(
    folder: Path,
    wanted: str,
    digests: FileDigests,
    settings: PictureSettings,
    part: SplitPart,
    listing: Listing,
    progress: Progress | None,
) -> Path:
    """Write an entry, which appears at once and whole, and return it.

    Its name has the digests of the very bytes that were decoded.
    """
    if len(listing.sources) != len(listing):  # files of many images, which have to be read apart
        digests.of(listing.sources)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    noting = replace(listing, items=lambda: map(digests.noting, listing.items()))
    try:
        with (new / _IMAGES).open("wb", buffering=_BLOCK) as file:

            def restart() -> None:
                file.seek(0)
                file.truncate()

            facts = decode(
                settings,
                part,
                noting,
                lambda row: file.write(np.ascontiguousarray(row).data),
                restart,
                progress,
            )
            file.flush()
            os.fsync(file.fileno())
        written = {"format": _FORMAT, **vars(facts), "checksums": _checksums(new / _IMAGES)}
        text = json.dumps(written)
        (new / _FACTS).write_text(f"{text}\n{_digest(text)}", encoding="utf-8")
        entry = folder / _name(wanted, digests, listing)
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        new.rename(entry)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return entry


def _open(entry: Path) -> StoredImages | None:
    """Return the images of an entry, None without one and for one that is damaged."""
    try:
        text, _, checksum = (entry / _FACTS).read_text(encoding="utf-8").partition("\n")
        if checksum != _digest(text):
            return None
        written = json.loads(text)
        chosen = written["is_validation"]
        facts = Facts(
            tuple(map(int, written["shape"])),
            int(written["bits"]),
            tuple(map(int, written["labels"])),
            tuple(map(str, written["classes"])),
            str(written["found"]),
            None if chosen is None else tuple(map(bool, chosen)),
        )
        stored = StoredImages(entry / _IMAGES, facts)
        size = len(stored) * stored.image_bytes
        is_whole = (
            written["format"] == _FORMAT
            and len(facts.labels) == len(stored)
            and stored.path.stat().st_size == size
            and written["checksums"] == _checksums(stored.path)
        )
        if not is_whole:
            return None
        os.utime(entry / _FACTS)  # used now
        _ = stored._file  # open: it stays when another process removes the entry
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return stored


def _checksums(path: Path) -> list[int]:
    """Return checksums of blocks from all over a file, the first and the last among them."""
    last = max(0, path.stat().st_size - _BLOCK)
    with path.open("rb") as file:
        sums = []
        for number in range(_SAMPLES):
            file.seek(last * number // (_SAMPLES - 1))
            sums.append(zlib.crc32(file.read(_BLOCK)))
    return sums


def _make_room(folder: Path) -> None:
    """Remove entries that nobody used for long, and the oldest while all are too large.

    A process that reads an entry goes on: its file stays until it is closed.
    """
    used: list[tuple[float, int, Path]] = []
    for facts in folder.glob(f"*/{_FACTS}"):
        try:
            size = (facts.parent / _IMAGES).stat().st_size
            used.append((facts.stat().st_mtime, size, facts.parent))
        except OSError:
            shutil.rmtree(facts.parent, ignore_errors=True)
    total = sum(size for _, size, _ in used)
    for when, size, entry in sorted(used):
        if total <= _MOST_BYTES and time.time() - when <= _MOST_SECONDS:
            break
        shutil.rmtree(entry, ignore_errors=True)
        total -= size
    left = {entry.name.partition("-")[0] for entry in folder.glob("*-*")}
    locks = [lock for lock in folder.glob("*.lock") if lock.stem not in left]
    for other in [*folder.glob(_DIGESTS.format("*")), *locks]:
        if _age(other) > _MOST_SECONDS:
            other.unlink(missing_ok=True)
    for new in folder.glob(".new-*"):  # of a process that was killed
        if _age(new) > _MOST_SECONDS / 30:
            new.unlink() if new.is_file() else shutil.rmtree(new, ignore_errors=True)


def _age(path: Path) -> float:
    """Return the seconds since a file was written or used, 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0

"""Reads many images in threads, and collects what cannot be read. Imports no torch."""

from __future__ import annotations

import errno
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from tunebox.data.image_file import ImageFileError, ImageInfo
from tunebox.errors import DataError, first_line

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Progress = Callable[[int, int], None]  # how many files are done, of how many

_SHOWN = 10
_AT_ONCE = 8  # files that a thread reads in a row: threads wait for each other less often
_AHEAD = 32  # such groups that are read before their results are taken: keeps all threads busy
# The file may be whole, and be read the next time: leaving it out would change what is trained on.
_PASSING = {
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH),
}


@dataclass(frozen=True)
class BadFile:
    """A file, or an entry of one, that cannot be read as an image."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}"


@dataclass(frozen=True)
class Read(Generic[_Result]):
    """What a file gave: its result, or why it has none."""

    name: str
    result: _Result | None
    bad: BadFile | None


def read_files(
    items: Iterable[_Item],
    num_items: int,
    read: Callable[[_Item], _Result],
    progress: Progress | None = None,
) -> Iterator[Read[_Result]]:
    """Yield what ``read`` returns for each item, in order; it runs on all cores at hand.

    Args:
        items: Paths, or anything else whose text names it. Taken one by one, in this thread, a
            few ahead of the results.
        num_items: How many there are.
        read: Reads one, in another thread.
        progress: Called with the number of items that are done, and of all.

    Raises:
        DataError: A file could not be reached, which says nothing about its content.
    """
    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(num_cores()) as pool,
    ):
        # A decoder warns of what it puts right, and with threads there is one filter for all.
        warnings.simplefilter("ignore")
        left = iter(items)
        groups = iter(lambda: list(islice(left, _AT_ONCE)), [])
        futures = deque(pool.submit(_attempt_all, some, read) for some in islice(groups, _AHEAD))
        done = 0
        while futures:
            results = futures.popleft().result()
            futures += [pool.submit(_attempt_all, some, read) for some in islice(groups, 1)]
            for result in results:
                yield result
                done += 1
                if progress is not None:
                    progress(done, num_items)


def num_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _attempt_all(items: list[_Item], read: Callable[[_Item], _Result]) -> list[Read[_Result]]:
    return [_attempt(item, read) for item in items]


def _attempt(item: _Item, read: Callable[[_Item], _Result]) -> Read[_Result]:
    name = str(item)
    try:
        return Read(name, read(item), None)
    except MemoryError:
        raise DataError(f"{name}: too little memory to read it") from None
    except Exception as error:  # decoders raise nearly everything for damaged content
        if isinstance(error, OSError) and error.errno in _PASSING:
            raise DataError(f"{name}: {error.strerror}; try again") from None
        return Read(name, None, BadFile(name, _reason(error)))


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, as the end of a sentence that its path begins."""
    if isinstance(error, ImageFileError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    if type(error).__name__ == "UnidentifiedImageError":  # its text is an address in memory
        return "is no image of a known format"
    return f"is damaged ({type(error).__name__}: {first_line(error)})"


def describe_bad_files(bad: Sequence[BadFile], num_files: int) -> str:
    """Return the first ten bad files with their reasons, and how many there are, in one line."""
    shown = "; ".join(map(str, bad[:_SHOWN]))
    more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return f"{len(bad):,} of {num_files:,} images cannot be read: {shown}{more}"


def describe_infos(infos: Iterable[ImageInfo]) -> str:
    """Return formats, modes, depths and sizes of files, with how many have each, in one line."""
    infos = list(infos)
    kinds = Counter(f"{info.format} {info.mode} of {info.bits} bits" for info in infos)
    sizes = Counter((info.width, info.height) for info in infos)
    text = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    if len(sizes) <= 3:
        pixels = ", ".join(f"{count:,} of {w}x{h}" for (w, h), count in sizes.most_common())
    else:
        (least_w, least_h), (most_w, most_h) = min(sizes, key=_area), max(sizes, key=_area)
        pixels = f"{len(sizes):,} sizes from {least_w}x{least_h} to {most_w}x{most_h}"
    return f"{text}; {pixels} pixels"


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]

"""Labelled images that stay in a file: more of them than the memory holds.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from tunebox.data.image_cache import StoredImages
from tunebox.data.image_set import ImageSet, level_counts, mean_std

_CHUNK = 1 << 26  # bytes that are read at once to look at all images
_AHEAD = 2  # batches that are read while one is used

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class StoredSet:
    """Labelled images in a file; a batch is read when it is asked for.

    Attributes:
        stored: The file.
        rows: ``(N,)`` int64: place in the file of each image.
        labels: ``(N,)`` int64, on the device that the images come to.
        class_names: Name of each class, None if they have none.
        num_classes: How many classes the data set has, also those without an image here.
        is_validation: As in `ImageSet`.
    """

    stored: StoredImages
    rows: np.ndarray
    labels: Tensor
    num_classes: int
    class_names: tuple[str, ...] | None
    is_validation: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bits(self) -> int:
        """White is ``2**bits - 1``."""
        return self.stored.facts.bits

    @property
    def found(self) -> str:
        """One line about the files that the images come from."""
        return self.stored.facts.found

    @property
    def device(self) -> torch.device:
        """The device that the images come to."""
        return self.labels.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.stored.facts.shape[1:]
        return channels, height, width

    @property
    def num_bytes(self) -> int:
        """Bytes of all images."""
        return len(self) * self.stored.image_bytes

    def to(self, device: torch.device | str) -> StoredSet:
        """Return the same images, which come to ``device`` when they are read."""
        return replace(self, labels=self.labels.to(device))

    def select(self, indices: Tensor) -> StoredSet:
        """Return the images at ``indices``, ``(M,)`` int64, in that order; nothing is read."""
        rows = self.rows[indices.cpu().numpy()]
        labels = self.labels[indices.to(self.device)]
        return replace(self, rows=rows, labels=labels, is_validation=None)

    def resident(self) -> ImageSet:
        """Return the images in memory, on the device."""
        images = self.images_at(torch.arange(len(self)))
        return ImageSet(
            images,
            self.labels,
            self.num_classes,
            self.bits,
            self.class_names,
            self.found,
            self.is_validation,
        )

    def images_at(self, indices: Tensor) -> Tensor:
        """Return the images ``(M, C, H, W)`` at ``indices``, ``(M,)`` int64, on the device."""
        return self._on_device(self._read(indices))

    def batches_at(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images at each of ``groups``; the next ones are read while one is used."""
        for read in read_ahead(groups, self._read):
            yield self._on_device(read)

    def _read(self, indices: Tensor) -> Tensor:
        images = torch.from_numpy(self.stored.read(self.rows[indices.cpu().numpy()]))
        return images.pin_memory() if self.device.type == "cuda" else images

    def _on_device(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True)

    def channel_mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, as `ImageSet` does."""
        return self._mean_std

    @cached_property
    def _mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        at_once = max(1, _CHUNK // self.stored.image_bytes)
        # the order does not matter here, and a disk reads fastest in its own
        groups = torch.from_numpy(np.argsort(self.rows)).split(at_once)  # type: ignore[no-untyped-call]
        counts: list[Tensor] = []
        for images in read_ahead(groups, self._read):
            found = [level_counts(channel, 2**self.bits) for channel in images.unbind(dim=1)]
            counts = [a + b for a, b in zip(counts, found, strict=True)] if counts else found
        return mean_std(counts)


AnyImageSet: TypeAlias = ImageSet | StoredSet


def read_ahead(items: Sequence[_Item], read: Callable[[_Item], _Value]) -> Iterator[_Value]:
    """Yield ``read`` of each item in order; a thread reads the next ones meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(read, item) for item in items[:_AHEAD]]
        try:
            for place in range(len(items)):
                value = futures.pop(0).result()
                if place + _AHEAD < len(items):
                    futures.append(pool.submit(read, items[place + _AHEAD]))
                yield value
        finally:
            for future in futures:
                future.cancel()

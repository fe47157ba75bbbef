"""Images with labels, held as one tensor each.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_COUNTED = 1 << 23  # values that are counted at once


def to_unit_range(images: Tensor, bits: int) -> Tensor:
    """Return integer images as float32 in [0, 1]; float images are in it already.

    Args:
        images: Any shape; uint8, uint16 or float.
        bits: ``2**bits - 1`` becomes 1.
    """
    if images.is_floating_point():
        return images
    return images.to(torch.float32).div_(2**bits - 1)


@dataclass(frozen=True)
class ImageSet:
    """Labelled images that are small enough to stay on the device.

    Attributes:
        images: ``(N, C, H, W)``, uint8 or uint16, 0 to ``2**bits - 1``.
        labels: ``(N,)``, int64, 0 to ``num_classes - 1``.
        num_classes: How many classes the data set has, also those without an image here.
        bits: Depth of the images: the largest value is white, 1.0 in the unit range.
        class_names: Name of each class, None if they have none.
        found: One line about the files that the images come from; empty if there is nothing to say.
        is_validation: ``(N,)``, bool, the images that the authors of the data chose for the
            validation set; None if they did not choose, and of a selection.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    bits: int = 8
    class_names: tuple[str, ...] | None = None
    found: str = ""
    is_validation: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.images.dtype in (torch.uint8, torch.uint16)
        assert self.images.dtype == torch.uint16 or self.bits <= 8
        assert self.images.ndim == 4
        assert self.labels.dtype == torch.int64
        assert self.labels.shape == self.images.shape[:1]
        assert self.class_names is None or len(self.class_names) == self.num_classes

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    def to(self, device: torch.device | str) -> ImageSet:
        """Return the same images on ``device``."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def select(self, indices: Tensor) -> ImageSet:
        """Return the images at ``indices``, ``(M,)`` int64, in that order."""
        indices = indices.to(self.images.device)
        images, labels = self.images_at(indices), self.labels[indices]
        return replace(self, images=images, labels=labels, is_validation=None)

    def images_at(self, indices: Tensor) -> Tensor:
        """Return the images ``(M, C, H, W)`` at ``indices``, ``(M,)`` int64, on their device."""
        if self.images.dtype == torch.uint16:  # which not all devices and releases can index
            return self.images.view(torch.int16).index_select(0, indices).view(torch.uint16)
        return self.images.index_select(0, indices)

    def batches_at(self, groups: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the images at each of ``groups``, each ``(M,)`` int64 on their device."""
        for indices in groups:
            yield self.images_at(indices)

    def channel_mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, in units of the range [0, 1].

        Computed in float64 from exact counts. A constant channel has standard deviation 1, so
        that dividing by it is always possible.
        """
        return mean_std(
            [level_counts(channel, 2**self.bits) for channel in self.images.unbind(dim=1)]
        )


def mean_std(counts: Sequence[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, in units of the range [0, 1].

    Args:
        counts: For each channel, how often each value occurs, ``(num_levels,)``.
    """
    values = torch.arange(len(counts[0]), dtype=torch.float64) / (len(counts[0]) - 1)
    means, stds = [], []
    for channel in counts:
        # Counting the values needs no float copy of the whole data set.
        shares = channel.cpu().double()
        shares /= shares.sum()
        mean = shares @ values
        std = (shares @ (values - mean).square()).sqrt().item()
        means.append(mean.item())
        stds.append(std if std > 1e-9 else 1.0)
    return tuple(means), tuple(stds)


def level_counts(channel: Tensor, num_levels: int) -> Tensor:
    """Return how often each value occurs in ``(N, H, W)``; int64, ``(num_levels,)``."""
    counts = torch.zeros(num_levels, dtype=torch.int64, device=channel.device)
    at_once = max(1, _COUNTED // max(1, channel[:1].numel()))
    for start in range(0, len(channel), at_once):  # bincount makes a copy in int64
        some = channel[start : start + at_once].flatten()
        some = some if some.dtype == torch.uint8 else some.to(torch.int32)  # it takes no uint16
        counts += torch.bincount(some, minlength=num_levels)
    return counts

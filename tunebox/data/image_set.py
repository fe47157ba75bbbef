"""Images with labels, held as one tensor each.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageSet:
    """Labelled images that are small enough to stay on the device.

    Attributes:
        images: ``(N, C, H, W)``, uint8, 0 to 255.
        labels: ``(N,)``, int64, 0 to ``num_classes - 1``.
        num_classes: How many classes the data set has, also those without an image here.
    """

    images: Tensor
    labels: Tensor
    num_classes: int

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8
        assert self.images.ndim == 4
        assert self.labels.dtype == torch.int64
        assert self.labels.shape == self.images.shape[:1]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def to(self, device: torch.device | str) -> ImageSet:
        """Return the same images on ``device``."""
        return ImageSet(self.images.to(device), self.labels.to(device), self.num_classes)

    def select(self, indices: Tensor) -> ImageSet:
        """Return the images at ``indices``, ``(M,)`` int64, in that order."""
        return ImageSet(self.images[indices], self.labels[indices], self.num_classes)

    def channel_mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel, in units of the range [0, 1].

        Computed in float64 from exact counts. A constant channel has standard deviation 1, so
        that dividing by it is always possible.
        """
        values = torch.arange(256, dtype=torch.float64) / 255
        means, stds = [], []
        for channel in self.images.unbind(dim=1):
            # Counting the 256 values needs no float copy of the whole data set.
            shares = torch.bincount(channel.flatten(), minlength=256).cpu().double()
            shares /= shares.sum()
            mean = shares @ values
            std = (shares @ (values - mean).square()).sqrt().item()
            means.append(mean.item())
            stds.append(std if std > 1e-9 else 1.0)
        return tuple(means), tuple(stds)

"""What is recorded of the images that a model was trained on, and images that are unlike them.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from tunebox.data.image_set import to_unit_range
from tunebox.data.parts import OpenedParts, TrainingParts
from tunebox.data.stored_set import AnyImageSet

_AT_ONCE = 1024  # images
_MOST_VALUES = 1 << 24  # of the images that are looked at together
_MARGIN = 0.1  # of the span of the training images, beyond which an image is unlike them
_FEW = 4  # spans, divided by the number of training images: a few of them do not show all


@dataclass(frozen=True)
class DataFacts:
    """Which images a model was trained on. All values are of images in the range [0, 1].

    Attributes:
        sha256: Of the images and labels of the training set, and their shape; hexadecimal.
        num_images: Number of images of each part that the training used.
        values: The lowest and the highest value of a pixel in the training set.
        brightness: The lowest and the highest mean of an image.
        contrast: The lowest and the highest standard deviation of the pixels of an image.
    """

    sha256: str
    num_images: dict[str, int]
    values: tuple[float, float]
    brightness: tuple[float, float]
    contrast: tuple[float, float]

    @classmethod
    def of(cls, parts: TrainingParts | OpenedParts) -> DataFacts:
        """Return the facts about the images of a training."""
        spans = torch.cat(
            [_statistics(to_unit_range(some, parts.train.bits)) for some in _pieces(parts.train)]
        )
        num_images = {"train": len(parts.train), "validation": len(parts.validation)}
        return cls(
            _digest(parts.train),
            num_images,
            (spans[:, 0].min().item(), spans[:, 1].max().item()),
            (spans[:, 2].min().item(), spans[:, 2].max().item()),
            (spans[:, 3].min().item(), spans[:, 3].max().item()),
        )

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> DataFacts:
        """Return what `as_dict` gave.

        Raises:
            ValidationError: Something is missing, or of another type.
        """
        return _FACTS.validate_python(content)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for a checkpoint or a file."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def unlike(self, image: Tensor) -> list[str]:
        """Return a phrase for each way in which an image is outside of the training images.

        Mean and contrast of the image may lie a tenth of the span of all training images beyond
        it, and more if these were few; its values a tenth beyond theirs, measured from black for
        the highest and from white for the lowest.

        Args:
            image: ``(C, H, W)``, float32 in [0, 1].
        """
        low, high, mean, contrast = _statistics(image[None])[0].tolist()
        of_few = _MARGIN + _FEW / max(1, self.num_images.get("train", 1))
        odd = []
        for what, value, (least, most), margin in (
            ("values down to", low, (self.values[0], 1.0), _MARGIN),
            ("values up to", high, (0.0, self.values[1]), _MARGIN),
            ("brightness", mean, self.brightness, of_few),
            ("contrast", contrast, self.contrast, of_few),
        ):
            room = margin * (most - least)
            if value < least - room:
                odd.append(f"{what} {value:.3g}, in training from {least:.3g}")
            elif value > most + room:
                odd.append(f"{what} {value:.3g}, in training to {most:.3g}")
        return odd


_FACTS = TypeAdapter(DataFacts)


def _pieces(images: AnyImageSet) -> Iterator[Tensor]:
    """Yield some images after the other, as they are stored."""
    at_once = min(_AT_ONCE, max(1, _MOST_VALUES // math.prod(images.image_shape)))
    places = torch.arange(len(images), device=images.device)
    return images.batches_at(places.split(at_once))  # type: ignore[no-untyped-call]


def _statistics(images: Tensor) -> Tensor:
    """Return the lowest and highest value, mean and standard deviation of each, ``(N, 4)``."""
    flat = images.flatten(1)
    low, high = flat.aminmax(dim=1)
    return torch.stack([low, high, flat.mean(dim=1), flat.std(dim=1, correction=0)], dim=1).cpu()


def _digest(images: AnyImageSet) -> str:
    shape = [len(images), *images.image_shape, images.bits, images.num_classes]
    digest = hashlib.sha256(repr(shape).encode())
    for some in chain(_pieces(images), images.labels.split(_AT_ONCE)):  # type: ignore[no-untyped-call]
        digest.update(some.contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()

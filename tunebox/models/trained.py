"""A trained classifier: what it takes, and what its outputs mean.

Shapes: N images, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tunebox.errors import DataError
from tunebox.models.base import Classifier


@dataclass(frozen=True)
class ModelFormat:
    """What a model takes and gives.

    Attributes:
        channels: Channels of an image.
        height: Rows of an image.
        width: Pixels of a row.
        num_classes: Outputs of the head.
        bits: White was ``2**bits - 1`` in the images that it was trained on.
        class_names: The class of each output; None if the classes have no names.
        records_names: Whether names were recorded if there were some; tunebox 0.1.0 did not.
    """

    channels: int
    height: int
    width: int
    num_classes: int
    bits: int = 8
    class_names: tuple[str, ...] | None = None
    records_names: bool = True

    @classmethod
    def of(cls, weights: Mapping[str, Any]) -> ModelFormat:
        """Return the format that is stored with the weights of a model.

        Raises:
            KeyError: A number is missing.
            TypeError: A number or a name is something else.
            ValueError: A number is below 1, there is not one name for each class, or no such depth
                of images.
        """
        numbers = {key: int(weights[key]) for key in ("channels", "height", "width", "num_classes")}
        for key, number in numbers.items():
            if number < 1:
                raise ValueError(f"{key} is {number}; it must be at least 1")
        names = weights.get("class_names")
        if names is not None and (
            len(set(names)) != numbers["num_classes"] or not all(isinstance(n, str) for n in names)
        ):
            raise ValueError(f"{numbers['num_classes']} classes need as many names, got {names}")
        bits = int(weights.get("bits", 8))
        if not 1 <= bits <= 16:
            raise ValueError(f"bits is {bits}; images have 1 to 16")
        return cls(
            **numbers,
            bits=bits,
            class_names=None if names is None else tuple(names),
            records_names="class_names" in weights,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.channels, self.height, self.width

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each output: its number where classes have no names."""
        return self.class_names or tuple(map(str, range(self.num_classes)))


class Predictions(NamedTuple):
    """What a model makes of images.

    Attributes:
        classes: The most probable class of each image.
        probabilities: ``(N, K)``, float32; the columns are in the order of ``class_names``.
    """

    classes: list[str]
    probabilities: Tensor


class TrainedClassifier(Classifier):
    """A classifier that refuses images that it was not made for.

    Calling it checks the images; ``model.head(model.features(images))`` does not, for images that
    leave the range [0, 1] on purpose.

    Args:
        model: The classifier, whose layers it shares.
        format: What the model takes and gives.

    Attributes:
        format: What the model takes and gives.
    """

    def __init__(self, model: Classifier, format: ModelFormat) -> None:
        mean, std = model.mean.flatten().tolist(), model.std.flatten().tolist()
        super().__init__(model.backbone, model.head, mean, std)
        self.format = format

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class of each output; its number where classes have no names."""
        return self.format.labels

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``(N, K)`` of images in [0, 1], ``(N, C, H, W)``, float32.

        Raises:
            DataError: The images have another type, shape or range; says what the model takes.
        """
        if not torch.compiler.is_compiling():
            self._check(images)
        return super().forward(images)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Predictions:
        """Return the classes of images in [0, 1], ``(N, C, H, W)``, float32, in evaluation mode.

        Raises:
            DataError: As for a call of the model.
        """
        was_training = self.training
        try:
            probabilities = self.eval()(images).softmax(dim=1)
        finally:
            self.train(was_training)
        best = probabilities.argmax(dim=1).tolist()
        return Predictions([self.class_names[number] for number in best], probabilities)

    def _check(self, images: Tensor) -> None:
        trouble = self._trouble(images)
        if trouble is not None:
            shape = ", ".join(map(str, self.format.image_shape))
            raise DataError(
                f"the model takes images of shape (N, {shape}), {_name(self.mean.dtype)} in "
                f"[0, 1]; got {trouble}"
            )

    def _trouble(self, images: Tensor) -> str | None:
        """Return what is wrong with the images and how it is put right, None if nothing is."""
        if not isinstance(images, Tensor):
            return f"{type(images).__name__}: make it a tensor with torch.from_numpy"
        if images.dtype in (torch.uint8, torch.uint16):
            deep = self.format.bits if self.format.bits > 8 else 16
            white = 2 ** (8 if images.dtype == torch.uint8 else deep) - 1
            return f"{_name(images.dtype)}: divide by the value of white, such as {white}"
        if images.dtype != self.mean.dtype:
            return f"{_name(images.dtype)}: convert it"
        if images.ndim != 4 or tuple(images.shape[1:]) != self.format.image_shape:
            return f"the shape ({', '.join(map(str, images.shape))})"
        if images.numel() == 0:
            return None
        low, high = (value.item() for value in images.detach().aminmax())
        if low >= 0 and high <= 1:
            return None
        return f"values from {low:g} to {high:g}: divide by the value of white, or clamp them"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

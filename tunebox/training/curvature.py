"""The curvature of the loss around each image of a set; see `tunebox.metrics.curvature`."""

from __future__ import annotations

import math

from torch import Tensor

from tunebox.data.stored_set import AnyImageSet
from tunebox.metrics.curvature import curvatures
from tunebox.models.base import Classifier
from tunebox.training.evaluate import clean_batches
from tunebox.training.precision import evaluation_mode, full_float32

_MOST_VALUES = 1 << 21  # of the images at a time: the directions take many times as much


def curvature(
    model: Classifier,
    images: AnyImageSet,
    *,
    seed: int,
    step: float = 1e-2,
    num_directions: int = 20,
    batch_size: int = 128,
) -> Tensor:
    """Return the curvature at each image, ``(N,)`` float32 on the CPU, in normalised-input units.

    In evaluation mode and float32. The result does not depend on ``batch_size``.

    Args:
        model: On the device of the images.
        images: Any number of them.
        seed: Random seed of the directions.
        step: Length of the finite difference, in units of the normalised input.
        num_directions: Gradients for each image, besides the one at the image.
        batch_size: Images at a time.
    """
    at_once = min(batch_size, max(1, _MOST_VALUES // math.prod(images.image_shape)))
    with evaluation_mode(model), full_float32(model.mean.device):
        return curvatures(model, clean_batches(images, at_once), num_directions, step, seed)

"""The curvature of the loss around each image of a set; see `tunebox.metrics.curvature`."""

from __future__ import annotations

from torch import Tensor

from tunebox.data.image_set import ImageSet
from tunebox.metrics.curvature import curvatures
from tunebox.models.base import Classifier
from tunebox.training.evaluate import clean_batches
from tunebox.training.precision import evaluation_mode, full_float32


def curvature(
    model: Classifier,
    images: ImageSet,
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
    with evaluation_mode(model), full_float32(model.mean.device):
        return curvatures(model, clean_batches(images, batch_size), num_directions, step, seed)

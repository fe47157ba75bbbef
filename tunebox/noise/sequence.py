"""Several perturbations, one after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tunebox.noise.base import Perturbation


def apply_in_order(
    images: Tensor, steps: Sequence[Perturbation], generator: torch.Generator
) -> Tensor:
    """Return images after all ``steps``, the first one first; one generator serves them all."""
    for step in steps:
        images = step(images, generator)
    return images

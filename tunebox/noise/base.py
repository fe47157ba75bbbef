"""What every perturbation of images looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Perturbation(Protocol):
    """Turns images into their noisy view."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the noisy images, ``(B, C, H, W)``; the input stays as it is.

        Args:
            images: ``(B, C, H, W)``, float, in [0, 1].
            generator: On the device of the images; all randomness comes from it.
        """
        ...

"""A noise for each image, out of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class OneOfSettings(NoiseSettings):
    """One noise for each image, drawn from several; all have the same share of a batch."""

    kind: Literal["one_of"]
    noises: list[NoiseSettings] = Field(min_length=1)

    @property
    def needed_side(self) -> int:
        """The shorter side in pixels that an image must have at least."""
        return max(noise.needed_side for noise in self.noises)

    def build(self) -> Perturbation:
        """Return the noise as a function; one generator serves all noises."""
        noises = [noise.build() for noise in self.noises]
        return lambda images, generator: apply_one_of(images, noises, generator)


def apply_one_of(
    images: Tensor, noises: Sequence[Perturbation], generator: torch.Generator
) -> Tensor:
    """Return images with one of ``noises`` each.

    The batch is shuffled and cut into as many parts as there are noises; their sizes differ by 1
    at most. The host waits for the device once, to know which noises get the larger parts.

    Args:
        images: ``(B, C, H, W)``; not changed.
        noises: At least one.
        generator: On the device of the images.
    """
    import torch

    device = images.device
    order = torch.randperm(len(images), generator=generator, device=device)
    first = int(torch.randint(len(noises), (1,), generator=generator, device=device))
    noisy = torch.empty_like(images)
    for number, part in enumerate(order.tensor_split(len(noises))):
        if len(part) > 0:
            noise = noises[(first + number) % len(noises)]
            noisy[part] = noise(images[part], generator)
    return noisy

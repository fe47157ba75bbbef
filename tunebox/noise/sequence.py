"""Several perturbations, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class SequenceSettings(NoiseSettings):
    """Several noises, one after the other."""

    kind: Literal["sequence"]
    steps: list[NoiseSettings] = Field(min_length=1)

    @property
    def needed_side(self) -> int:
        """The shorter side in pixels that an image must have at least."""
        return max(step.needed_side for step in self.steps)

    def build(self) -> Perturbation:
        """Return the noise as a function; one generator serves all steps."""
        steps = [step.build() for step in self.steps]
        return lambda images, generator: apply_in_order(images, steps, generator)


def apply_in_order(
    images: Tensor, steps: Sequence[Perturbation], generator: torch.Generator
) -> Tensor:
    """Return images after all ``steps``, the first one first; one generator serves them all."""
    for step in steps:
        images = step(images, generator)
    return images

"""Blur by a lens that is out of focus, and by motion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.filters import defocus, motion, uniform_like
from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation


class DefocusSettings(NoiseSettings):
    """Blur by a disk, as of a lens that is out of focus."""

    kind: Literal["defocus"]
    radius: float = Field(ge=0, le=1000)  # of the disk in pixels; below 1 its softened edge remains

    def build(self) -> Perturbation:
        """Return the noise as a function; nothing of it is random."""
        return lambda images, generator: defocus(images, self.radius).clamp(0, 1)


class MotionSettings(NoiseSettings):
    """Blur along a line whose direction is drawn for each image."""

    kind: Literal["motion"]
    length: float = Field(gt=0, le=1000)  # of the line in pixels
    angle: float = Field(180.0, ge=0, le=180)  # lines go at most that many degrees off horizontal

    def build(self) -> Perturbation:
        """Return the noise as a function."""
        return self._apply

    def _apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        share = 2 * uniform_like(images, generator)((len(images),)) - 1
        angles = share * math.radians(self.angle)
        return motion(images, self.length / 2, self.length, angles).clamp(0, 1)

"""The noise of a camera's sensor.

[Foi2008] A. Foi et al. Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image
    Raw-Data. IEEE TIP 17(10), 2008. Shot and read noise.
[EMVA1288] European Machine Vision Association. EMVA Standard 1288. The units and the other parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tunebox.noise.filters import normal_like, uniform_like
from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tunebox.noise.base import Perturbation

_MOST_ELECTRONS = 1e7


class SensorSettings(NoiseSettings):
    """Shot noise, read noise and rounding of a sensor, with rows, hot pixels and vignetting.

    Light becomes electrons, whose number is a Poisson variable; reading adds normal noise; the
    result is rounded to the levels of ``bits`` [Foi2008]. The gain is ``1 / full_well``.
    """

    kind: Literal["sensor"]
    full_well: float = Field(1000.0, ge=1, le=_MOST_ELECTRONS)  # electrons of a white pixel
    read_noise: float = Field(3.0, ge=0, le=_MOST_ELECTRONS)  # of each pixel, in electrons (std)
    row_noise: float = Field(0.0, ge=0, le=_MOST_ELECTRONS)  # common to a row, in electrons (std)
    hot_pixels: float = Field(0.0, ge=0, le=1)  # share of pixels that are white, in all channels
    vignetting: float = Field(0.0, ge=0, le=1)  # share of the light that is lost in the corners
    bits: int = Field(8, ge=1, le=16)  # of the converter

    def build(self) -> Perturbation:
        """Return the noise as a function."""
        return self._apply

    def _apply(self, images: Tensor, generator: torch.Generator) -> Tensor:
        import torch

        batch, _, height, width = images.shape
        light = images.clamp(0, 1) * (1 - self.vignetting * squared_distance(images))
        electrons = torch.poisson(light * self.full_well, generator=generator)
        normal = normal_like(images, generator)
        if self.read_noise > 0:
            electrons = electrons + self.read_noise * normal(images.shape)
        if self.row_noise > 0:
            electrons = electrons + self.row_noise * normal((batch, 1, height, 1))
        read: Tensor = (electrons / self.full_well).clamp(0, 1)
        if self.hot_pixels > 0:
            drawn = uniform_like(images, generator)((batch, 1, height, width))
            read = torch.where(drawn < self.hot_pixels, 1.0, read)
        most = 2.0**self.bits - 1
        return (read * most).round() / most


def squared_distance(images: Tensor) -> Tensor:
    """Return the squared distance of each pixel from the middle, ``(H, W)``; 1 in the corners."""
    import torch

    height, width = images.shape[-2:]
    rows = torch.linspace(-1, 1, height, dtype=images.dtype, device=images.device)
    columns = torch.linspace(-1, 1, width, dtype=images.dtype, device=images.device)
    if height == 1:
        rows = torch.zeros_like(rows)
    if width == 1:
        columns = torch.zeros_like(columns)
    return (rows[:, None] ** 2 + columns[None, :] ** 2) / 2

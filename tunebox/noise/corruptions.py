"""The common corruptions of images, at five severities.

[Hendrycks2019] D. Hendrycks and T. Dietterich. Benchmarking Neural Network Robustness to Common
    Corruptions and Perturbations. ICLR 2019. arXiv 1903.12261.

The strengths are those of CIFAR-10-C, whose images have 32x32 pixels. Lengths in pixels grow with
larger images and stay as they are for smaller ones. `DRAWN_DIFFERENTLY` says what is not as
published.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field

from tunebox.noise import corruption_colors as colors
from tunebox.noise import corruption_shapes as shapes
from tunebox.noise.settings import NoiseSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tunebox.noise.base import Perturbation

CorruptionName: TypeAlias = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]
SEVERITIES = (1, 2, 3, 4, 5)

# function, and its settings at the five severities
_STRENGTHS: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...]]] = {
    "gaussian_noise": (colors.gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (colors.shot_noise, (500, 250, 100, 75, 50)),
    "impulse_noise": (colors.impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": (
        shapes.defocus_blur,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    "glass_blur": (
        shapes.glass_blur,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    "motion_blur": (shapes.motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": (shapes.zoom_blur, (7, 12, 16, 21, 26)),
    "snow": (
        shapes.snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": (shapes.frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": (shapes.fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": (colors.brightness, (0.05, 0.10, 0.15, 0.20, 0.30)),
    "contrast": (colors.contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
    "elastic_transform": (
        shapes.elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": (shapes.pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": (shapes.jpeg_compression, (80, 65, 58, 50, 40)),
    "speckle_noise": (colors.speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2)),
    "gaussian_blur": (shapes.blur, (0.4, 0.6, 0.7, 0.8, 1)),
    "spatter": (
        shapes.spatter,
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
    ),
    "saturate": (colors.saturate, ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))),
}
NAMES = tuple(_STRENGTHS)
COMMON = NAMES[:15]  # those of the mean corruption error
EXTRA = NAMES[15:]
OF_COLOR = ("saturate",)  # nothing happens to images without three channels

# What of a corruption is not as in CIFAR-10-C, besides the random numbers
DRAWN_DIFFERENTLY = {
    "defocus_blur": "border of images that are smaller than the kernel",
    "glass_blur": "all pixels move at once, not one after the other",
    "motion_blur": "positions along the line are interpolated, not rounded",
    "zoom_blur": "zooms are not rounded to whole pixels",
    "snow": "motion and zoom as above",
    "frost": "the ice is drawn, not photographed",
    "elastic_transform": "one interpolation in place of two",
    "spatter": "drops of water are soft spots without a relief",
}


class CorruptionSettings(NoiseSettings):
    """One of the common corruptions, with the strengths of CIFAR-10-C [Hendrycks2019]."""

    kind: CorruptionName
    severity: int = Field(ge=1, le=5)

    def build(self) -> Perturbation:
        """Return the corruption as a function; the result is in [0, 1]."""
        corrupt, strengths = _STRENGTHS[self.kind]
        strength = strengths[self.severity - 1]
        return lambda images, generator: corrupt(images, strength, generator).clamp(0, 1)

"""``noise`` in a search file: what turns an image in [0, 1] into its noisy view."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tunebox.settings import Settings


class GaussianSettings(Settings):
    """Independent normal noise on every pixel."""

    kind: Literal["gaussian"]
    std: float = Field(ge=0)  # in units of the pixel range [0, 1]
    clamp: bool = True  # cut to [0, 1] afterwards


class UniformSettings(Settings):
    """Independent uniform noise in (-epsilon, epsilon) on every pixel."""

    kind: Literal["uniform"]
    epsilon: float = Field(ge=0)
    clamp: bool = True


class PatchMaskSettings(Settings):
    """Squares set to 0 in all channels, at uniform places; they may overlap."""

    kind: Literal["patch_mask"]
    size: int = Field(ge=1)  # side in pixels
    count: int = Field(ge=1)


class DownUpSettings(Settings):
    """Bilinear reduction to ``scale`` of the side and back."""

    kind: Literal["down_up"]
    scale: float = Field(gt=0, le=1)


class SequenceSettings(Settings):
    """Several perturbations, one after the other."""

    kind: Literal["sequence"]
    steps: list[NoiseSettings] = Field(min_length=1)


NoiseSettings = Annotated[
    GaussianSettings | UniformSettings | PatchMaskSettings | DownUpSettings | SequenceSettings,
    Field(discriminator="kind"),
]
SequenceSettings.model_rebuild()


def largest_patch(noise: NoiseSettings) -> int:
    """Return the side in pixels of the largest square that ``noise`` masks, 0 if none."""
    if isinstance(noise, SequenceSettings):
        return max(largest_patch(step) for step in noise.steps)
    return noise.size if isinstance(noise, PatchMaskSettings) else 0

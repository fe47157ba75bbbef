"""Random crops, colours and rotations of photographs, each image with draws of its own.

All images of a batch are sampled in one pass on their device: a crop, a mirror image and a rotation
are one affine map, and colours are arithmetic.

Shapes: B images, C channels, H x W pixels.

[Szegedy2015] C. Szegedy et al. Going deeper with convolutions. CVPR 2015 (the random resized crop:
    area and aspect ratio).
[Howard2013] A. Howard. Some improvements on deep convolutional neural network based image
    classification. arXiv:1312.5402, 2013 (brightness, contrast and colour).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from tunebox.data.settings import Augmentation, AugmentationSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_Share = Annotated[float, Field(gt=0, le=1)]
_Ratio = Annotated[float, Field(gt=0, le=10)]
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


class PhotoSettings(AugmentationSettings):
    """Random resized crop, mirror image, rotation and colour jitter, before the noise."""

    kind: Literal["photo"]
    # smallest and largest share of the area that is cut out and scaled to the whole; null: no crop
    crop_area: Annotated[tuple[_Share, _Share], Field(strict=False)] | None = (0.25, 1.0)
    # least and largest width of the cut-out divided by its height; drawn log-uniformly
    crop_ratio: Annotated[tuple[_Ratio, _Ratio], Field(strict=False)] = (0.75, 1.3333333333333333)
    flip: bool = True  # mirror left and right with probability 1/2
    rotation: float = Field(0.0, ge=0, le=180)  # degrees: from -rotation to rotation
    brightness: float = Field(0.0, ge=0, le=1)  # factor from 1 - brightness to 1 + brightness
    contrast: float = Field(0.0, ge=0, le=1)  # the same, around the mean grey of the image
    saturation: float = Field(0.0, ge=0, le=1)  # the same, around the grey of each pixel
    hue: float = Field(0.0, ge=0, le=0.5)  # turns of the colour circle: from -hue to hue

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name, values in (("crop_area", self.crop_area), ("crop_ratio", self.crop_ratio)):
            if values is not None and values[0] > values[1]:
                raise ValueError(f"{name}: {list(values)} must rise: [least, largest]")
        return self

    def build(self, bits: int = 8) -> Augmentation:
        """Return the augmentation as a function of integer images of this depth."""
        from tunebox.data.image_set import to_unit_range

        def augment(images: Tensor, generator: torch.Generator) -> Tensor:
            return augment_photos(to_unit_range(images, bits), self, generator)

        return augment


def augment_photos(images: Tensor, settings: PhotoSettings, generator: torch.Generator) -> Tensor:
    """Return each image moved and coloured at random; the input stays as it is.

    Args:
        images: ``(B, C, H, W)``, float32 in [0, 1].
        settings: What is drawn, and from where.
        generator: On the device of the images.

    Returns:
        ``(B, C, H, W)``, float32 in [0, 1].
    """
    images = moved(images, draw_maps(images, settings, generator))
    return coloured(images, *_draw_colours(images, settings, generator))


def draw_maps(images: Tensor, settings: PhotoSettings, generator: torch.Generator) -> Tensor:
    """Return ``(B, 2, 3)``: affine maps from places in the result to places in the image.

    Places are in [-1, 1], x to the right and y down, as `torch.nn.functional.affine_grid` has them.
    """
    import torch

    count, (height, width) = len(images), images.shape[2:]

    def draw(low: float, high: float) -> Tensor:
        unit = torch.rand(count, generator=generator, device=images.device)
        return low + (high - low) * unit

    across = down = torch.ones(count, device=images.device)
    if settings.crop_area is not None:
        area, low = draw(*settings.crop_area), settings.crop_ratio[0]
        ratio = torch.exp(draw(math.log(low), math.log(settings.crop_ratio[1])))
        shape = height / width  # of the image: the ratio is one of pixels
        across = (area * ratio * shape).sqrt().clamp(max=1)
        down = (area / (ratio * shape)).sqrt().clamp(max=1)
    x, y = (1 - across) * draw(-1, 1), (1 - down) * draw(-1, 1)
    turn = draw(-settings.rotation, settings.rotation) * (math.pi / 180)
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0) if settings.flip else torch.ones_like(x)
    cos, sin, aspect = turn.cos(), turn.sin(), height / width
    return torch.stack(
        [
            torch.stack([across * cos * mirror, -down * sin * aspect, x], dim=1),
            torch.stack([across * sin * mirror / aspect, down * cos, y], dim=1),
        ],
        dim=1,
    )


def moved(images: Tensor, maps: Tensor) -> Tensor:
    """Return the images sampled bilinearly at the places of ``maps``; the outside is its edge."""
    from torch.nn import functional

    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _draw_colours(
    images: Tensor, settings: PhotoSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    import torch

    def draw(strength: float) -> Tensor:
        unit = torch.rand((len(images), 1, 1, 1), generator=generator, device=images.device)
        return strength * (2 * unit - 1)

    brightness, contrast, saturation = (
        1 + draw(strength)
        for strength in (settings.brightness, settings.contrast, settings.saturation)
    )
    return brightness, contrast, saturation, draw(settings.hue)


def coloured(
    images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor
) -> Tensor:
    """Return the images with other colours, in this order, clamped to [0, 1] after each.

    Args:
        images: ``(B, C, H, W)`` in [0, 1]; C is 1 or 3.
        brightness: Factors ``(B, 1, 1, 1)`` of all values.
        contrast: Factors of the distance from the mean grey of the image.
        saturation: Factors of the distance of each pixel from its grey; grey images stay.
        hue: Turns of the colour circle, in [-0.5, 0.5]; grey images stay.
    """
    images = (images * brightness).clamp(0, 1)
    mean = _grey(images).mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * contrast).clamp(0, 1)
    if images.shape[1] != 3:
        return images
    grey = _grey(images)
    images = (grey + (images - grey) * saturation).clamp(0, 1)
    return _with_hue(images, hue) if bool((hue != 0).any()) else images


def _grey(images: Tensor) -> Tensor:
    """Return ``(B, 1, H, W)``: the grey of each pixel."""
    if images.shape[1] != 3:
        return images
    weights = images.new_tensor(_LUMA).reshape(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _with_hue(images: Tensor, hue: Tensor) -> Tensor:
    """Return colours turned on the circle of HSV, whose value and saturation stay."""
    import torch

    value, chroma_low = images.amax(dim=1), images.amin(dim=1)
    chroma = value - chroma_low
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    red, green, blue = ((value - channel) / safe for channel in images.unbind(dim=1))
    sixth = torch.where(
        images[:, 0] == value,
        blue - green,
        torch.where(images[:, 1] == value, 2 + red - blue, 4 + green - red),
    )
    turned = (sixth / 6 + hue[:, 0]) % 1 * 6  # (B, H, W), in sixths of the circle
    # the channels are the same curve of the hue, a third of the circle apart
    channels = [
        value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)
        for shift in (5, 3, 1)
        for place in [(turned + shift) % 6]
    ]
    return torch.stack(channels, dim=1)

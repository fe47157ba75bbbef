"""Corruptions that mix pixels or cover them; `tunebox.noise.corruptions` has the strengths.

Each takes images ``(B, C, H, W)`` in [0, 1], a strength and a generator, and returns new images,
which may leave [0, 1]. Lengths are in pixels of an image of 32 pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tunebox.noise.filters import (
    defocus,
    enlargement,
    gaussian_blur,
    motion,
    normal_like,
    plasma,
    uniform_like,
    warp,
    zoom,
)
from tunebox.noise.jpeg import compress

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_WATER = (175 / 255, 238 / 255, 238 / 255)
_MUD = (63 / 255, 42 / 255, 20 / 255)
_ICE = (0.75, 0.88, 1.0)


def blur(images: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Return images blurred by a normal kernel of ``std``."""
    return gaussian_blur(images, std * enlargement(images))


def defocus_blur(
    images: Tensor, strength: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Return images blurred by a disk; ``strength`` is its radius and the softness of its edge."""
    radius, softness = strength
    return defocus(images, radius * enlargement(images), softness)


def glass_blur(
    images: Tensor, strength: tuple[float, int, int], generator: torch.Generator
) -> Tensor:
    """Return images as through frosted glass: blurred, pixels moved at random, blurred again.

    Args:
        images: Not changed.
        strength: Standard deviation of the blur, largest move, and how often pixels move.
        generator: Draws the moves.
    """
    import torch

    std, largest, rounds = strength
    scale = enlargement(images)
    largest = round(largest * scale)
    batch, channels, height, width = images.shape
    blurred = gaussian_blur(images, std * scale)
    rows = torch.arange(height, device=images.device).view(1, -1, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, -1)
    for _ in range(rounds):
        moves = torch.randint(
            -largest, largest, (2, batch, height, width), generator=generator, device=images.device
        )
        source = (rows + moves[0]).clamp(0, height - 1) * width + (columns + moves[1]).clamp(
            0, width - 1
        )
        index = source.view(batch, 1, -1).expand(-1, channels, -1)
        blurred = blurred.flatten(2).gather(2, index).view(images.shape)
    return gaussian_blur(blurred, std * scale)


def motion_blur(
    images: Tensor, strength: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Return images smeared along a line within 45 degrees of horizontal.

    Args:
        images: Not changed.
        strength: Half of the line's length, and the standard deviation of its weights.
        generator: Draws the angles.
    """
    angles = _angles(images, -45, 45, generator)
    return _smeared(images, strength, enlargement(images), angles)


def zoom_blur(images: Tensor, num_zooms: int, generator: torch.Generator) -> Tensor:
    """Return the mean of images and of ``num_zooms`` zooms into them: 1.00, 1.01, and so on."""
    total = images.clone()
    for number in range(num_zooms):
        total += zoom(images, 1 + number / 100)
    return total / (num_zooms + 1)


def snow(
    images: Tensor,
    strength: tuple[float, float, float, float, float, float, float],
    generator: torch.Generator,
) -> Tensor:
    """Return images behind falling snow.

    Args:
        images: Not changed.
        strength: Mean and standard deviation of the flakes' field, its enlargement, the threshold
            of a flake, length and standard deviation of its fall, and the image's own share.
        generator: Draws the flakes and their direction.
    """
    import torch

    mean, std, larger, threshold, length, fall, share = strength
    scale = enlargement(images)
    batch, _, height, width = images.shape
    field = mean + std * normal_like(images, generator)((batch, 1, height, width))
    field = zoom(field, larger * scale)
    flakes = torch.where(field < threshold, 0.0, field).clamp(0, 1)
    angles = _angles(images, -135, -45, generator)
    flakes = _smeared(flakes, (length, fall), scale, angles)
    light = torch.maximum(images, 1.5 * _grey(images) + 0.5)
    return share * images + (1 - share) * light + flakes + flakes.flip((2, 3))


def frost(images: Tensor, strength: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return images behind ice; the ice has the ridges of a random landscape.

    Args:
        images: Not changed.
        strength: Factors of the image and of the ice.
        generator: Draws the ice.
    """
    ridges = 1 - (2 * plasma(images, 1.5, generator) - 1).abs()
    return strength[0] * images + strength[1] * ridges.sqrt() * _color(images, _ICE)


def fog(images: Tensor, strength: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Return images behind clouds; ``strength`` is their density and smoothness."""
    density, decay = strength
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    clouded = images + density * plasma(images, decay, generator)
    return clouded * brightest / (brightest + density)


def elastic_transform(
    images: Tensor, strength: tuple[float, float, float], generator: torch.Generator
) -> Tensor:
    """Return images that are stretched as a whole and locally.

    Args:
        images: Not changed.
        strength: Size of the local shifts, their smoothness, and the largest shift of three points
            that move the whole image, all as shares of the shorter side.
        generator: Draws the shifts.
    """
    height, width = images.shape[-2:]
    side = min(height, width)
    size, smoothness, whole = (side * share for share in strength)
    uniform = uniform_like(images, generator)
    shifts = _affine_shifts(images, whole, generator)
    if size > 0:
        local = 2 * uniform((len(images), 2, height, width)) - 1
        shifts = shifts + size * gaussian_blur(local, smoothness, truncate=3.0)
    return warp(images, shifts[:, 0], shifts[:, 1], reflect=True)


def _affine_shifts(images: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Return each pixel's shift when three points around the middle move, ``(B, 2, H, W)``."""
    import torch

    height, width = images.shape[-2:]
    reach = max(1, min(height, width) // 3)
    y, x = height // 2, width // 2
    points = [(y + reach, x + reach), (y - reach, x + reach), (y - reach, x - reach)]
    corners = torch.tensor([[a, b, 1.0] for a, b in points], dtype=torch.float64)
    rows = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.float64)[None, :].expand(height, width)
    places = torch.stack([rows, columns, torch.ones(height, width, dtype=torch.float64)])
    # (3, H, W): the shares of the three points, with which each pixel follows them
    shares = torch.einsum("phw,pk->khw", places, torch.linalg.inv(corners)).to(images)
    moves = largest * (2 * uniform_like(images, generator)((len(images), 2, 3)) - 1)
    return torch.einsum("bdk,khw->bdhw", moves, shares)


def pixelate(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return images in fewer, larger pixels: ``share`` of the side, rounded down."""
    height, width = images.shape[-2:]
    small = max(1, int(height * share)), max(1, int(width * share))
    return _resized(_resized(images, *small), height, width)


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    """Return images resized with a box filter."""
    rows = _box_means(images.shape[2], height).to(images)
    columns = _box_means(images.shape[3], width).to(images)
    return rows @ images @ columns.T


def _box_means(old: int, new: int) -> Tensor:
    """Return the matrix that resizes a line of ``old`` pixels to ``new`` with a box filter.

    A new pixel is the mean of the old ones whose middles it covers, ``(new, old)``.
    """
    import torch

    scale = max(1.0, old / new)  # when enlarged, the box still covers one pixel
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for place in range(new):
        middle = (place + 0.5) * (old / new)  # in this order, as a tie may depend on it
        first = max(0, int(middle - scale / 2 + 0.5))
        last = min(old, max(first + 1, int(middle + scale / 2 + 0.5)))
        matrix[place, first:last] = 1 / (last - first)
    return matrix


def jpeg_compression(images: Tensor, quality: int, generator: torch.Generator) -> Tensor:
    """Return images as JPEG of ``quality`` leaves them."""
    return compress(images, quality)


def spatter(
    images: Tensor,
    strength: tuple[float, float, float, float, float, bool],
    generator: torch.Generator,
) -> Tensor:
    """Return images behind drops of water or splashes of mud.

    Args:
        images: Not changed.
        strength: Mean, standard deviation and blur of the field of drops, the threshold of a drop,
            the brightness of water or the blur of mud, and whether it is mud.
        generator: Draws the field.
    """
    mean, std, smoothness, threshold, amount, is_mud = strength
    scale = enlargement(images)
    batch, _, height, width = images.shape
    # a blur that is wider by a factor makes the field flatter by that factor
    field = std * scale * normal_like(images, generator)((batch, 1, height, width))
    field = mean + gaussian_blur(field, smoothness * scale)
    if is_mud:
        mud = gaussian_blur((field > threshold).to(images.dtype), amount * scale)
        mud = mud.masked_fill(mud < 0.8, 0.0)
        return images * (1 - mud) + mud * _color(images, _MUD)
    drops = gaussian_blur((field - threshold).clamp_min(0), 0.5 * scale)
    drops = amount * drops / drops.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
    return images + drops * _color(images, _WATER)


def _smeared(images: Tensor, strength: tuple[float, float], scale: float, angles: Tensor) -> Tensor:
    length, std = strength
    return motion(images, std * scale, 2 * length * scale, angles)


def _angles(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return an angle for each image in radians, uniform between two in degrees."""
    share = uniform_like(images, generator)((len(images),))
    return (low + (high - low) * share) * (math.pi / 180)


def _grey(images: Tensor) -> Tensor:
    """Return the brightness of the pixels, ``(B, 1, H, W)``."""
    import torch

    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    weights = torch.tensor(_LUMA, dtype=images.dtype, device=images.device)
    return (images * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _color(images: Tensor, color: tuple[float, float, float]) -> Tensor:
    """Return a colour for the channels of images, ``(1, C, 1, 1)``; its brightness if not three."""
    import torch

    brightness = sum(w * c for w, c in zip(_LUMA, color, strict=True))
    values = color if images.shape[1] == 3 else (brightness,)
    return torch.tensor(values, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)

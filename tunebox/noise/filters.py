"""Blurs, shifts and random fields, for noises that need them. Imports torch inside the functions.

Shapes: B images ``(B, C, H, W)``, float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Draw = Callable[[Sequence[int]], Tensor]

REFERENCE_SIDE = 32  # of the images that lengths in pixels are published for


def enlargement(images: Tensor) -> float:
    """Return by how much lengths in pixels are multiplied: 1 up to 32 pixels, then side / 32."""
    return max(1.0, min(images.shape[-2:]) / REFERENCE_SIDE)


def normal_like(images: Tensor, generator: torch.Generator) -> Draw:
    """Return a function from a shape to normal numbers, on the device of ``images``."""
    import torch

    return lambda shape: torch.randn(
        tuple(shape), generator=generator, dtype=images.dtype, device=images.device
    )


def uniform_like(images: Tensor, generator: torch.Generator) -> Draw:
    """Return a function from a shape to numbers in [0, 1), on the device of ``images``."""
    import torch

    return lambda shape: torch.rand(
        tuple(shape), generator=generator, dtype=images.dtype, device=images.device
    )


def convolve(images: Tensor, kernel: Tensor, *, reflect: bool = False) -> Tensor:
    """Return each channel convolved with a symmetric ``kernel``, ``(k, l)`` with odd sides.

    Beyond the border the outermost pixel is repeated, or with ``reflect`` the image is mirrored
    around it, as far as it is large enough for that.
    """
    from torch.nn import functional

    batch, channels, height, width = images.shape
    rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    can_reflect = reflect and rows < height and columns < width
    flat = images.reshape(batch * channels, 1, height, width)
    padded = functional.pad(
        flat, (columns, columns, rows, rows), mode="reflect" if can_reflect else "replicate"
    )
    return functional.conv2d(padded, kernel.to(images)[None, None]).view(images.shape)


def gaussian_blur(images: Tensor, std: float, truncate: float = 4.0) -> Tensor:
    """Return images blurred by a normal kernel; the border's pixels are repeated beyond it.

    Args:
        images: Not changed.
        std: Standard deviation in pixels, >= 0.
        truncate: Where the kernel ends, in standard deviations.
    """
    import torch

    radius = int(truncate * std + 0.5)
    if radius == 0:
        return images
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / std) ** 2)
    weights /= weights.sum()
    return convolve(convolve(images, weights[:, None]), weights[None, :])


def defocus(images: Tensor, radius: float, alias_std: float = 0.5) -> Tensor:
    """Return images blurred by a disk, as by a lens that is out of focus.

    Args:
        images: Not changed.
        radius: Of the disk in pixels, >= 0.
        alias_std: Of the normal kernel in pixels that softens its edge; above 0.
    """
    import torch

    soft = 1 if radius <= 8 else 2  # the softening kernel has 3 or 5 pixels
    half = int(radius) + soft
    places = torch.arange(-half, half + 1, dtype=torch.float64)
    disk = (places[:, None] ** 2 + places[None, :] ** 2 <= radius**2).double()
    edge = torch.exp(-0.5 * (torch.arange(-soft, soft + 1, dtype=torch.float64) / alias_std) ** 2)
    edge = edge / edge.sum()
    widened = torch.nn.functional.pad(disk / disk.sum(), (soft,) * 4)[None, None]
    kernel = torch.nn.functional.conv2d(widened, torch.outer(edge, edge)[None, None])[0, 0]
    return convolve(images, kernel, reflect=True)


def motion(images: Tensor, std: float, length: float, angles: Tensor) -> Tensor:
    """Return images smeared along a line of their own.

    The weights along the line are half of a normal density: most of a moving point's light falls
    where it stopped.

    Args:
        images: Not changed.
        std: Of the density, in pixels, above 0.
        length: Of the line in pixels, at most.
        angles: Direction of each image's line in radians, ``(B,)``.
    """
    import torch

    steps = max(1, math.ceil(min(length, 4 * std)))
    weights = [math.exp(-0.5 * (step / std) ** 2) for step in range(steps + 1)]
    total = torch.zeros_like(images)
    for step, weight in enumerate(weights):
        shift_y, shift_x = step * torch.sin(angles), step * torch.cos(angles)
        total += weight * warp(images, shift_y.view(-1, 1, 1), shift_x.view(-1, 1, 1))
    return total / sum(weights)


def zoom(images: Tensor, factor: float) -> Tensor:
    """Return the middle of images enlarged to the whole, bilinear."""
    height, width = images.shape[-2:]
    rows, columns = _pixel_places(images)
    shrink = 1 / factor - 1
    return warp(images, (rows - (height - 1) / 2) * shrink, (columns - (width - 1) / 2) * shrink)


def warp(images: Tensor, shift_y: Tensor, shift_x: Tensor, *, reflect: bool = False) -> Tensor:
    """Return images whose pixels come from ``shift_y`` below and ``shift_x`` to the right.

    Bilinear. Beyond the border the outermost pixel is repeated, or the image is mirrored.

    Args:
        images: Not changed.
        shift_y: In pixels, anything that broadcasts to ``(B, H, W)``.
        shift_x: Likewise.
        reflect: Whether the image is mirrored at its border.
    """
    import torch

    batch, _, height, width = images.shape
    rows, columns = _pixel_places(images)
    y = (rows + shift_y).expand(batch, height, width)
    x = (columns + shift_x).expand(batch, height, width)
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return torch.nn.functional.grid_sample(
        images,
        grid.to(images.dtype),
        mode="bilinear",
        padding_mode="reflection" if reflect else "border",
        align_corners=False,
    )


def _pixel_places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows ``(H, 1)`` and the columns ``(1, W)`` of the pixels."""
    import torch

    height, width = images.shape[-2:]
    like = {"dtype": images.dtype, "device": images.device}
    rows = torch.arange(height, **like)  # type: ignore[call-overload]
    columns = torch.arange(width, **like)  # type: ignore[call-overload]
    return rows[:, None], columns[None, :]


def plasma(images: Tensor, decay: float, generator: torch.Generator) -> Tensor:
    """Return a random landscape for each image, ``(B, 1, H, W)``, from 0 to 1 (diamond-square).

    Args:
        images: Give the shape; their content is not used.
        decay: By how much the roughness falls as the scale halves; clouds have 1.5 to 3.
        generator: On the device of the images.
    """
    import torch

    batch, _, height, width = images.shape
    size = 1 << max(1, math.ceil(math.log2(max(height, width))))
    land = torch.zeros(batch, size, size, dtype=torch.float32, device=images.device)
    uniform = uniform_like(land, generator)
    step, rough = size, 1.0

    def between(total: Tensor) -> Tensor:
        return total / 4 + rough * (2 * uniform(total.shape) - 1)

    while step >= 2:
        half = step // 2
        corners = land[:, ::step, ::step]
        square = corners + corners.roll(-1, 1)
        middles = between(square + square.roll(-1, 2))
        land[:, half::step, half::step] = middles
        across = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        land[:, ::step, half::step] = between(across)
        down = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        land[:, half::step, ::step] = between(down)
        step, rough = half, rough / decay**2
    land -= land.amin(dim=(1, 2), keepdim=True)
    land /= land.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    return land[:, None, :height, :width].to(images.dtype)

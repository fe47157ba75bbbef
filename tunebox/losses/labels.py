"""Picks what belongs to the label of each image, and what belongs to the other classes.

Shapes: B images, C classes. Nothing here makes a GPU wait for the host.
"""

from __future__ import annotations

import torch
from torch import Tensor


def at_label(values: Tensor, labels: Tensor) -> Tensor:
    """Return the value ``(B,)`` at the label of each row of ``values``, ``(B, C)``."""
    return values.gather(1, labels.unsqueeze(1)).squeeze(1)


def is_label(values: Tensor, labels: Tensor) -> Tensor:
    """Return a mask ``(B, C)``, true at the label of each row of ``values``."""
    return torch.arange(values.shape[1], device=labels.device) == labels.unsqueeze(1)


def without_label(values: Tensor, labels: Tensor) -> Tensor:
    """Return ``values`` ``(B, C)`` with minus infinity at the labels: no maximum sees them."""
    return values.masked_fill(is_label(values, labels), float("-inf"))

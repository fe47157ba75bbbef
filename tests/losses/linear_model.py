"""A linear classifier of three pixels, whose attacks and derivatives are known in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.losses.make_step import make_step
from tests.losses.references import double
from tunebox.losses.context import StepContext
from tunebox.losses.settings import TermContext, TermSettings
from tunebox.models.base import Classifier

WEIGHT = double([[1, 0, 2], [0, 1, -1], [-1, -1, 0]])
BIAS = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0])
# within [0, 1], as images are; and not
IMAGES = double([[0.2, 0.4, 0.6], [0.9, 0.1, 0.5], [0.3, 0.8, 0.1], [0.5, 0.5, 0.5]])
INPUTS = double([[0.2, 0.4, 0.6], [1, 0, -0.5], [-0.3, 0.8, 0.1], [0.5, 0.5, 0.5]])
CONTEXT = TermContext(3, 3, 100, noise_std=0.25)


def linear_model(mean: float = 0.0, std: float = 1.0) -> Classifier:
    """Logits ``W x + b`` of normalised pixels, in float64."""
    head = nn.Linear(3, 3).double()
    with torch.no_grad():
        head.weight.copy_(WEIGHT)
        head.bias.copy_(BIAS)
    return Classifier(nn.Flatten(), head, [mean], [std]).double()


def as_images(pixels: Tensor) -> Tensor:
    """``(B, 3)`` as images of one column, ``(B, 1, 3, 1)``."""
    return pixels.view(-1, 1, 3, 1)


def linear_step(
    settings: TermSettings, pixels: Tensor, *noises: Tensor, model: Classifier | None = None
) -> StepContext:
    """A step of ``pixels`` with a noisy copy for each of ``noises``."""
    noisy = [as_images(pixels + noise) for noise in noises or (torch.zeros(3),)]
    return make_step(
        settings,
        LABELS[: len(pixels)],
        as_images(pixels),
        noisy,
        model=linear_model() if model is None else model,
        dtype=torch.float64,
    )

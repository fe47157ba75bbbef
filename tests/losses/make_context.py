"""The step that a loss term sees, made of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tunebox.losses.context import BatchNorm, StepContext, View
from tunebox.models.base import Classifier


def make_context(labels: Tensor, head: nn.Linear, clean: View, noisy: View) -> StepContext:
    """A step with given views; its images are of no size, for no term here looks at them."""
    model = Classifier(nn.Identity(), head, [0.0], [1.0])
    images = torch.zeros(len(labels), 0)

    def forward(
        images: Tensor, *, batch_norm: BatchNorm = "update", second_order: bool = False
    ) -> View:
        raise AssertionError("no term here makes images of its own")

    return StepContext(
        labels=labels,
        one_hot=torch.eye(head.out_features, device=labels.device)[labels],
        indices=torch.arange(len(labels), device=labels.device),
        images={"clean": images, "noisy": images},
        views={"clean": clean, "noisy": noisy},
        model=model,
        forward=forward,
        progress=0.0,
        generator=torch.Generator(labels.device),
    )

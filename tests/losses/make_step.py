"""A step with a small classifier, for terms of any kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tunebox.losses.context import BatchNorm, StepContext, View
from tunebox.losses.settings import TermSettings
from tunebox.models.base import Classifier
from tunebox.models.layers import CosineHead

CLASSES, DIM, SIDE = 5, 6, 4


def make_model(settings: TermSettings, feature_factor: float = 1.0) -> Classifier:
    """A linear classifier without normalisation; images of zeros have features of zeros."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, DIM, bias=False))
    head = nn.Linear(DIM, CLASSES)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(feature_factor)
    if settings.cosine_scale is not None:
        head = CosineHead(head, settings.cosine_scale)
    return Classifier(backbone, head, [0.0], [1.0])


def random_images(batch: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 1, SIDE, SIDE, generator=generator)


def make_step(
    settings: TermSettings,
    labels: Tensor,
    clean: Tensor,
    noisy: list[Tensor],
    *,
    model: Classifier | None = None,
    dtype: torch.dtype = torch.float32,
) -> StepContext:
    """A step with the views of ``clean`` and of each of the copies ``noisy``."""
    classifier = make_model(settings) if model is None else model

    def forward(
        images: Tensor, *, batch_norm: BatchNorm = "update", second_order: bool = False
    ) -> View:
        features = classifier.features(images)
        # as in a training: float32 if it is differentiated twice
        of = torch.promote_types(dtype, torch.float32) if second_order else dtype
        return View(features.to(of), classifier.head(features).to(of))

    def teacher(images: Tensor) -> View:
        with torch.no_grad():
            view = forward(0.9 * images)
        return View(view.features.float(), view.logits.float())

    copies = [forward(images) for images in noisy]
    return StepContext(
        labels=labels,
        one_hot=torch.eye(classifier.head.out_features)[labels],
        indices=torch.arange(len(labels)),
        images={"clean": clean, "noisy": noisy[0]},
        views={"clean": forward(clean), "noisy": copies[0]},
        model=classifier,
        forward=forward,
        progress=0.5,
        generator=torch.Generator().manual_seed(1),
        noisy_copies=tuple(copies) if len(copies) > 1 else (),
        noisy_images=tuple(noisy),
        teacher=None if settings.teacher_decay is None else teacher,
    )

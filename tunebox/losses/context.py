"""What a loss term sees of a training step.

Shapes: B images, C channels, H x W pixels, D feature values, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from tunebox.models.base import Classifier

BatchNorm: TypeAlias = Literal["update", "frozen"]


@dataclass(frozen=True)
class View:
    """What the classifier makes of one view of a batch.

    Attributes:
        features: ``(B, D)``.
        logits: ``(B, K)``.
    """

    features: Tensor
    logits: Tensor


class Forward(Protocol):
    """The forward pass of a training step, for images that a term makes, such as an attack."""

    def __call__(
        self, images: Tensor, *, batch_norm: BatchNorm = "update", second_order: bool = False
    ) -> View:
        """Return what the classifier makes of ``images``, ``(B, C, H, W)`` in [0, 1].

        Args:
            images: Any number of images on the device of the model.
            batch_norm: ``update`` normalises with the statistics of these images and counts them
                in the running statistics, as the views of the step do. ``frozen`` normalises with
                the running statistics and leaves them as they are.
            second_order: Whether a gradient of the result is differentiated again: in float32
                whatever the precision of the training, and without fused attention, which has no
                second derivative.
        """


@dataclass(frozen=True)
class StepContext:
    """A batch of a training step, and what a term can do with it.

    A view that no term needs is not made, and one whose images alone are needed has no forward.

    Attributes:
        labels: ``(B,)``, int64.
        one_hot: ``(B, K)``, float: 1 at the label, 0 elsewhere.
        indices: ``(B,)``, int64: places of the images in the training set.
        images: Images of each view in [0, 1], ``(B, C, H, W)``, by its name.
        views: What the classifier makes of them, by the same names.
        model: The classifier that is trained.
        forward: Its forward pass for other images.
        progress: Share of the whole training that is done, in [0, 1).
        generator: Random generator of the terms, on the device of the images; what they draw
            changes no other draw of the training.
        noisy_copies: All noisy copies of the images if a term needs several, the noisy view first;
            otherwise empty.
        noisy_images: The images of all noisy copies, as many as there are: those of the noisy view
            first; empty if no term needs noisy images.
        teacher: What the teacher, a moving average of the model, makes of images, without a
            gradient; None if no term needs one.
    """

    labels: Tensor
    one_hot: Tensor
    indices: Tensor
    images: Mapping[str, Tensor]
    views: Mapping[str, View]
    model: Classifier
    forward: Forward
    progress: float
    generator: torch.Generator
    noisy_copies: tuple[View, ...] = ()
    noisy_images: tuple[Tensor, ...] = ()
    teacher: Callable[[Tensor], View] | None = None

    @property
    def head(self) -> nn.Linear:
        """The linear layer from features to logits."""
        return self.model.head

    @property
    def clean(self) -> View:
        """The view of the images without noise, for a term that needs it."""
        return self.views["clean"]

    @property
    def noisy(self) -> View:
        """The view of the noisy images in the same order, for a term that needs it."""
        return self.views["noisy"]

    def copies_of(self, view: str) -> tuple[View, ...]:
        """Return all copies that there are of a view: one, but for a noisy view of several."""
        return (view == "noisy" and self.noisy_copies) or (self.views[view],)

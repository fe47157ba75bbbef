"""A classifier: normalisation, a backbone that gives a feature, a linear head.

Shapes: B images, C channels, H x W pixels, D feature values, K classes.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Self


class Classifier(nn.Module):
    """Takes images in [0, 1], so that everyone who perturbs images can forget normalisation.

    Attributes:
        backbone: Normalised images ``(B, C, H, W)`` to features ``(B, D)``.
        head: Features to logits ``(B, K)``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self._always_in_eval_mode: tuple[nn.Module, ...] = ()

    @property
    def has_convolutions(self) -> bool:
        """Whether the memory order of the images matters."""
        return any(isinstance(module, nn.Conv2d) for module in self.modules())

    def freeze(self, modules: Iterable[nn.Module]) -> None:
        """Keep ``modules`` in evaluation mode from now on, whatever mode the model is put in."""
        self._always_in_eval_mode = tuple(modules)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Put the model in training mode, but for what is frozen."""
        super().train(mode)
        for module in self._always_in_eval_mode:
            module.eval()
        return self

    def normalize(self, images: Tensor) -> Tensor:
        """Return ``(images - mean) / std`` of each channel, ``(B, C, H, W)``."""
        return (images - self.mean) / self.std

    def features(self, images: Tensor) -> Tensor:
        """Return the penultimate layer ``(B, D)`` of images in [0, 1], ``(B, C, H, W)``."""
        features: Tensor = self.backbone(self.normalize(images))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``(B, K)`` of images in [0, 1], ``(B, C, H, W)``."""
        logits: Tensor = self.head(self.features(images))
        return logits

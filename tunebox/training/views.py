"""From a batch of uint8 images to the views that the loss terms look at.

Shapes: B images, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tunebox.data.augment import augment
from tunebox.losses.base import View, Views
from tunebox.models.base import Classifier
from tunebox.noise.build import build_noise
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.draws import EpochDraws


def to_unit_range(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.to(torch.float32).div_(255)


class ViewMaker:
    """Makes the clean and the noisy view of batches as the settings of a trial say.

    Args:
        config: Of the trial.
        model: In training mode when views are made; batch norm then counts every forward.
        clean: Whether any loss term looks at the clean view.
        noisy: Whether any loss term looks at the noisy view.
    """

    def __init__(self, config: TrialConfig, model: Classifier, *, clean: bool, noisy: bool) -> None:
        assert clean or noisy
        self._model = model
        self._clean, self._noisy = clean, noisy
        self._augmentation = config.augmentation
        self._shares_augmentation = config.losses.view == "same"
        self._joint_forward = config.losses.forward == "joint"
        self._noise = build_noise(config.losses.noise) if config.losses.noise else None
        self._device = model.mean.device
        on_gpu = self._device.type == "cuda"
        precision = config.training.precision
        self._autocast = precision == "bfloat16" or (precision == "auto" and on_gpu)
        self._channels_last = config.training.channels_last and model.has_convolutions
        self._one_hot = torch.eye(model.head.out_features, device=self._device)

    def make(self, batch: Tensor, labels: Tensor, draws: EpochDraws) -> Views:
        """Return the views of ``batch``, ``(B, C, H, W)`` uint8, with ``labels``, ``(B,)``."""
        clean, noisy = self.images(batch, draws)
        clean_features, noisy_features = self._features(clean, noisy)
        return Views(
            labels,
            self._one_hot.index_select(0, labels),
            self._model.head,
            self._view(clean_features),
            self._view(noisy_features),
        )

    def images(self, batch: Tensor, draws: EpochDraws) -> tuple[Tensor | None, Tensor | None]:
        """Return the clean and the noisy images, float32 in [0, 1]; None for a view unused."""
        clean = noisy = None
        if self._clean or self._shares_augmentation:
            clean = to_unit_range(augment(batch, self._augmentation, draws.clean))
        if self._noisy:
            assert self._noise is not None
            source = clean
            if source is None or not self._shares_augmentation:
                source = to_unit_range(augment(batch, self._augmentation, draws.noisy))
            noisy = self._noise(source, draws.noisy)
        return clean if self._clean else None, noisy

    def _features(
        self, clean: Tensor | None, noisy: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            if self._joint_forward and clean is not None and noisy is not None:
                both = self._forward(torch.cat([clean, noisy]))
                return both[: len(clean)], both[len(clean) :]
            # Two calls, the noisy one last: each view has its own batch statistics.
            return (
                None if clean is None else self._forward(clean),
                None if noisy is None else self._forward(noisy),
            )

    def _forward(self, images: Tensor) -> Tensor:
        if self._channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self._model.features(images)

    def _view(self, features: Tensor | None) -> View | None:
        if features is None:
            return None
        # The head is cheap, so it works in float32: losses see logits that were never rounded.
        features = features.float()
        return View(features, self._model.head(features))

"""From a batch of integer images to the step that the loss terms look at.

Shapes: B images, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from tunebox.data.image_set import to_unit_range
from tunebox.losses.context import BatchNorm, StepContext, View
from tunebox.models.base import Classifier
from tunebox.spec.trial_config import TrialConfig
from tunebox.training.draws import EpochDraws


class ViewMaker:
    """Makes the step of a batch, with its clean and its noisy view as the settings say.

    Args:
        config: Settings of the trial.
        model: In training mode when views are made; batch norm then counts every forward.
        bits: White is ``2**bits - 1`` in the batches.
        teacher: The teacher of the terms, if they have one.
    """

    def __init__(
        self,
        config: TrialConfig,
        model: Classifier,
        bits: int = 8,
        teacher: Classifier | None = None,
    ) -> None:
        self._model = model
        self._teacher = teacher
        self._bits = bits
        self._views, self._image_views = config.losses.views, config.losses.image_views
        self._augment = config.augmentation.build(bits)
        self._shares_augmentation = config.losses.view == "same"
        self._joint_forward = config.losses.forward == "joint"
        self._num_copies = config.losses.num_copies
        self._noise = config.losses.noise.build() if config.losses.noise else None
        self._device = model.mean.device
        on_gpu = self._device.type == "cuda"
        precision = config.training.precision
        self._autocast = precision == "bfloat16" or (precision == "auto" and on_gpu)
        self._channels_last = config.training.channels_last and model.has_convolutions
        self._one_hot = torch.eye(model.head.out_features, device=self._device)

    def make(
        self, batch: Tensor, labels: Tensor, indices: Tensor, progress: float, draws: EpochDraws
    ) -> StepContext:
        """Return the step of a batch.

        Args:
            batch: ``(B, C, H, W)``, uint8 or uint16.
            labels: ``(B,)``, int64.
            indices: ``(B,)``, places of the images in the training set.
            progress: Share of the whole training that is done, in [0, 1).
            draws: Generators of the epoch.
        """
        clean, noisy = self.images(batch, draws)
        clean_features, noisy_features = self._features(
            clean if "clean" in self._views else None, noisy if "noisy" in self._views else None
        )
        noisy_images = () if noisy is None else noisy.chunk(self._num_copies)
        copies: tuple[View, ...] = ()
        if self._num_copies > 1 and noisy_features is not None:
            copies = tuple(map(self._view, noisy_features.chunk(self._num_copies)))
            noisy_features = noisy_features[: len(labels)]
        images = {"clean": clean, "noisy": noisy_images[0] if noisy_images else None}
        features = {"clean": clean_features, "noisy": noisy_features}
        return StepContext(
            labels=labels,
            one_hot=self._one_hot.index_select(0, labels),
            indices=indices,
            images={name: value for name, value in images.items() if value is not None},
            views={name: self._view(f) for name, f in features.items() if f is not None},
            model=self._model,
            forward=self.forward,
            progress=progress,
            generator=draws.terms,
            noisy_copies=copies,
            noisy_images=noisy_images,
            teacher=None if self._teacher is None else self._taught,
        )

    def forward(
        self, images: Tensor, *, batch_norm: BatchNorm = "update", second_order: bool = False
    ) -> View:
        """Return the view of other images; see `tunebox.losses.context.Forward`."""
        updating = [
            module
            for module in self._model.modules()
            if isinstance(module, _BatchNorm) and module.training and batch_norm == "frozen"
        ]
        try:
            for module in updating:
                module.eval()
            with self._precision(second_order):
                features = self._forward(images)
            return self._view(features)
        finally:
            for module in updating:
                module.train()

    @contextmanager
    def _precision(self, second_order: bool = False) -> Iterator[None]:
        enabled = self._autocast and not second_order
        # without its cache: rounded weights of a forward without gradient would be used again
        with torch.autocast(
            self._device.type, torch.bfloat16, enabled=enabled, cache_enabled=False
        ):
            if second_order:
                with sdpa_kernel(SDPBackend.MATH):
                    yield
            else:
                yield

    def _taught(self, images: Tensor) -> View:
        assert self._teacher is not None
        with torch.no_grad(), self._precision():
            features = self._teacher.features(self._ordered(images)).float()
            return View(features, self._teacher.head(features))

    def images(self, batch: Tensor, draws: EpochDraws) -> tuple[Tensor | None, Tensor | None]:
        """Return the clean and the noisy images, float32 in [0, 1]; None for a view unused.

        Several noisy copies of the batch lie one after the other: one forward sees all of them.
        """
        clean = noisy = None
        if "clean" in self._image_views or self._shares_augmentation:
            clean = to_unit_range(self._augment(batch, draws.clean), self._bits)
        if "noisy" in self._image_views:
            assert self._noise is not None
            source = clean
            if source is None or not self._shares_augmentation:
                source = to_unit_range(self._augment(batch, draws.noisy), self._bits)
            if self._num_copies > 1:
                source = source.repeat(self._num_copies, 1, 1, 1)
            noisy = self._noise(source, draws.noisy)
        return clean if "clean" in self._image_views else None, noisy

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
        return self._model.features(self._ordered(images))

    def _ordered(self, images: Tensor) -> Tensor:
        if self._channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def _view(self, features: Tensor) -> View:
        # The head is cheap, so it works in float32: losses see logits that were never rounded.
        features = features.float()
        return View(features, self._model.head(features))

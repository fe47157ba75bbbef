"""Accuracy and cross-entropy on clean and on noisy images.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from tunebox.data.image_set import ImageSet
from tunebox.models.base import Classifier
from tunebox.noise.base import Perturbation
from tunebox.noise.build import build_noise
from tunebox.training.precision import evaluation_mode, full_float32
from tunebox.training.settings import EvaluationSettings
from tunebox.training.views import to_unit_range

_KEEP_BYTES = 128 * 2**20  # noisy images up to this size are kept; larger ones are drawn again

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) in [0, 1], labels (B,)


def clean_batches(images: ImageSet, batch_size: int) -> Iterator[Batch]:
    """Give all images in order, float32 in [0, 1], the last batch maybe smaller."""
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        yield to_unit_range(images.images[rows]), images.labels[rows]


def noisy_batches(
    images: ImageSet, perturb: Perturbation, *, seed: int, num_draws: int, batch_size: int
) -> Iterator[Batch]:
    """Give ``num_draws`` noisy copies of all images, the same ones at every call.

    The noise is drawn on the CPU: it is the same on every kind of device. It depends on
    ``batch_size``.
    """
    device = images.images.device
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_draws):
        for batch, labels in clean_batches(images, batch_size):
            yield perturb(batch.cpu(), generator).to(device), labels


def accuracy_and_loss(model: Classifier, batches: Iterable[Batch]) -> tuple[float, float]:
    """Return the share of correct predictions and the mean cross-entropy in nats.

    In evaluation mode and float32, whatever the training used; the host waits once.
    """
    device = model.mean.device
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    num_images = 0
    with torch.inference_mode(), evaluation_mode(model), full_float32(device):
        for images, labels in batches:
            logits = model(images)
            correct = (logits.argmax(dim=1) == labels).sum()
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            sums += torch.stack([correct.double(), loss.double()])
            num_images += len(labels)
    accuracy, loss_mean = (sums / num_images).tolist()
    return accuracy, loss_mean


class Evaluator:
    """Measures models on the validation part: all of them see identical noisy images.

    Args:
        validation: On the device of the models.
        settings: The noise, its seed and how many noisy copies there are.
    """

    def __init__(self, validation: ImageSet, settings: EvaluationSettings) -> None:
        self._validation = validation
        self._settings = settings
        self._perturb = build_noise(settings.noise)
        self._kept: list[Batch] | None = None

    def __call__(self, model: Classifier) -> dict[str, float]:
        """Return clean and noisy accuracy and loss; the model stays as it is."""
        clean = clean_batches(self._validation, self._settings.batch_size)
        clean_accuracy, clean_loss = accuracy_and_loss(model, clean)
        noisy_accuracy, noisy_loss = accuracy_and_loss(model, self._noisy_batches())
        return {
            "clean_accuracy": clean_accuracy,
            "noisy_accuracy": noisy_accuracy,
            "clean_loss": clean_loss,
            "noisy_loss": noisy_loss,
        }

    def _noisy_batches(self) -> Iterable[Batch]:
        if self._kept is not None:
            return self._kept
        batches = noisy_batches(
            self._validation,
            self._perturb,
            seed=self._settings.seed,
            num_draws=self._settings.num_draws,
            batch_size=self._settings.batch_size,
        )
        num_bytes = 4 * self._validation.images.numel() * self._settings.num_draws
        if num_bytes > _KEEP_BYTES:
            return batches
        self._kept = list(batches)
        return self._kept

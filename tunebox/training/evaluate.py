"""Metrics of predictions on clean and on noisy images.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor

from tunebox.data.image_set import to_unit_range
from tunebox.data.stored_set import AnyImageSet
from tunebox.metrics.accuracy import accuracy, class_accuracies
from tunebox.metrics.cross_entropy import cross_entropy
from tunebox.metrics.settings import ModelMetricSettings
from tunebox.models.base import Classifier
from tunebox.noise.base import Perturbation
from tunebox.spec.training_settings import EvaluationSettings
from tunebox.training.batch_memory import evaluation_room, images_at_once
from tunebox.training.precision import evaluation_mode, full_float32

if TYPE_CHECKING:
    from tunebox.metrics.metric import Compute, Metric, Prediction

_CPU_BATCH = 128
_CPU_VALUES = 1 << 22  # of a batch on a CPU: 27 images of 224 x 224 pixels in colour
_BATCH_VALUES = 1 << 24  # read at once, 64 MiB in float32: 111 images of 224 x 224 in colour
_KEEP_BYTES = 128 * 2**20  # noisy images up to this size are kept; larger ones are drawn again

Batch = tuple[Tensor, Tensor]  # images (B, C, H, W) in [0, 1], labels (B,)


def clean_batches(images: AnyImageSet, batch_size: int) -> Iterator[Batch]:
    """Give all images in order, float32 in [0, 1], the last batch maybe smaller."""
    groups = torch.arange(len(images), device=images.device).split(  # type: ignore[no-untyped-call]
        fitting(batch_size, images)
    )
    for batch, rows in zip(images.batches_at(groups), groups, strict=True):
        yield to_unit_range(batch, images.bits), images.labels[rows]


def fitting(batch_size: int, images: AnyImageSet) -> int:
    """Return how many images are read, and get their noise, at once: fewer of large ones.

    It depends on nothing but the images, so that the noise is the same on every machine. How many
    of them go through the model at once is up to `images_at_once`.
    """
    return min(batch_size, max(1, _BATCH_VALUES // math.prod(images.image_shape)))


def noisy_batches(
    images: AnyImageSet, perturb: Perturbation, *, seed: int, num_draws: int, batch_size: int
) -> Iterator[Batch]:
    """Give ``num_draws`` noisy copies of all images, the same ones at every call.

    The noise is drawn on the CPU: it is the same on every kind of device. It depends on
    ``batch_size``, for large images on `fitting`.
    """
    device = images.device
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num_draws):
        for batch, labels in clean_batches(images, batch_size):
            yield perturb(batch.cpu(), generator).to(device), labels


def accuracy_and_loss(model: Classifier, batches: Iterable[Batch]) -> tuple[float, float]:
    """Return the share of correct predictions and the mean cross-entropy in nats.

    In evaluation mode and float32, whatever the training used; the host waits once.
    """
    share, loss = computed(model, batches, [accuracy, cross_entropy])
    return share, loss


def accuracy_by_class(
    predictions: Sequence[Prediction], class_names: Sequence[str] | None
) -> dict[str, float]:
    """Return the share of correct predictions by the name of the class, without empty classes.

    Args:
        predictions: Logits and labels, as `predicted` returns them.
        class_names: In the order of the labels; None: their numbers are the names.
    """
    values = class_accuracies(predictions).tolist()
    names = class_names or tuple(map(str, range(len(values))))
    return {name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)}


def computed(
    model: Classifier, batches: Iterable[Batch], computes: Sequence[Compute]
) -> list[float]:
    """Return what each of ``computes`` makes of the predictions of ``model``.

    In evaluation mode and float32, whatever the training used; the host waits once.
    """
    return values_of(predicted(model, batches), computes)


def predicted(model: Classifier, batches: Iterable[Batch]) -> list[Prediction]:
    """Return the logits and labels of each batch, in evaluation mode and float32."""
    device = model.mean.device
    with torch.inference_mode(), evaluation_mode(model), full_float32(device):
        return [
            (model(images), labels) for batch in batches for images, labels in _parts(model, *batch)
        ]


def values_of(predictions: Sequence[Prediction], computes: Sequence[Compute]) -> list[float]:
    """Return what each of ``computes`` makes of the predictions; the host waits once."""
    with torch.inference_mode(), full_float32(predictions[0][0].device):
        values = torch.stack([compute(predictions) for compute in computes])
    return [float(value) for value in values.tolist()]


def measured(
    model: Classifier, images: AnyImageSet, part: ModelMetricSettings, *, seed: int, batch_size: int
) -> dict[str, float]:
    """Return the metrics of ``part`` under the names that are reported.

    In evaluation mode and float32, whatever the training used.

    Args:
        model: On the device of the images.
        images: Those of the settings are taken evenly from them.
        part: What is measured.
        seed: Random seed of whatever it draws.
        batch_size: Images at a time, at most.
    """
    with evaluation_mode(model), full_float32(model.mean.device):
        values = part.measure(model, batches_of(images, part.images, batch_size), seed)
    return {part.reported_name(metric): values[metric.name] for metric in part.reported}


def batches_of(images: AnyImageSet, count: int | None, batch_size: int) -> Sequence[Batch]:
    """Return ``count`` images taken evenly, None for all, in batches that suit the device.

    They do not depend on the memory of the machine: metrics draw at random batch by batch.
    """
    chosen = images if count is None else evenly(images, count)
    at_once = fitting(batch_size, chosen)
    size = _suitable(at_once, math.prod(chosen.image_shape), chosen.device)
    blocks = torch.arange(len(chosen), device=chosen.device).split(at_once)  # type: ignore[no-untyped-call]
    return _BatchesOnDemand(chosen, [rows for block in blocks for rows in block.split(size)])


def evenly(images: AnyImageSet, count: int) -> AnyImageSet:
    """Return ``count`` images taken evenly from ``images``; all if there are no more."""
    count = min(count, len(images))
    return images.select(torch.arange(count, device=images.labels.device) * len(images) // count)


def _suitable(count: int, num_values: int, device: torch.device) -> int:
    """Return how many of ``count`` images of ``num_values`` each ``device`` takes quickly at once.

    On a CPU a convolution of a large batch leaves the caches and takes up to 2.5 times as long.
    """
    return (
        min(count, _CPU_BATCH, max(1, _CPU_VALUES // num_values)) if device.type == "cpu" else count
    )


def _parts(model: Classifier, images: Tensor, labels: Tensor) -> Iterator[Batch]:
    """Give the images in parts that are quick on their device and fit into its memory."""
    size = _suitable(len(images), images[:1].numel(), images.device)
    size = min(size, images_at_once(model, images))
    yield from zip(images.split(size), labels.split(size), strict=True)  # type: ignore[no-untyped-call]


class _BatchesOnDemand(Sequence[Batch]):
    """Batches of a set of images, read whenever they are asked for.

    Args:
        images: All images.
        groups: Indices of the images of each batch.
    """

    def __init__(self, images: AnyImageSet, groups: Sequence[Tensor]) -> None:
        self._images = images
        self._groups = groups

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Batch]: ...
    def __getitem__(self, place: int | slice) -> Batch | list[Batch]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        rows = self._groups[place]
        images = to_unit_range(self._images.images_at(rows), self._images.bits)
        return images, self._images.labels[rows]


class Evaluator:
    """Measures models on the validation set: all of them see identical noisy images.

    Args:
        validation: On the device of the models.
        settings: The metrics, the noise, its seed and how many noisy copies there are.
    """

    def __init__(self, validation: AnyImageSet, settings: EvaluationSettings) -> None:
        self._validation = validation
        self._settings = settings
        self._perturb = settings.noise.build()
        self._metrics = list(settings.computed.values())
        self._kept: list[Batch] | None = None

    def __call__(
        self, model: Classifier, is_due: Callable[[Metric], bool] = lambda metric: True
    ) -> dict[str, float]:
        """Return the metrics of the settings; the model stays as it is.

        Args:
            model: Classifier on the device of the images.
            is_due: Returns whether a metric is to be computed; without it all are.
        """
        due = [metric for metric in self._metrics if is_due(metric)]
        values: dict[str, float] = {}
        for prefix, make_batches in (
            ("clean_", self._clean_batches),
            ("noisy_", self._noisy_batches),
        ):
            computes = {m.name: m.compute for m in due if m.name.startswith(prefix) and m.compute}
            if computes:
                results = computed(model, make_batches(), list(computes.values()))
                values.update(zip(computes, results, strict=True))
        for part in self._settings.of_model:
            if any(is_due(metric) for metric in part.metrics()):
                values |= measured(
                    model,
                    self._validation,
                    part,
                    seed=self._settings.seed,
                    batch_size=self._settings.batch_size,
                )
        return {metric.name: values[metric.name] for metric in due}

    def _clean_batches(self) -> Iterable[Batch]:
        return clean_batches(self._validation, self._settings.batch_size)

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
        num_values = len(self._validation) * math.prod(self._validation.image_shape)
        num_bytes = 4 * num_values * self._settings.num_draws
        if num_bytes > min(_KEEP_BYTES, evaluation_room(self._validation.device)):
            return batches
        self._kept = list(batches)
        return self._kept
